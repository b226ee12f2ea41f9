"""The embedded Pub/Sub server with a clock that tests set, and faults that they switch on.

The directory of its controls may hold the file `clock` (seconds added to the time, so that leases
end without waiting) and the files of `Fault`.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import Any

from transak_drift.local.pubsub_server.deliveries import Deliveries
from transak_drift.local.pubsub_server.server import run_server
from transak_drift.local.pubsub_server.storage import MICROSECONDS, system_clock

CLOCK_FILE = "clock"


class Fault(StrEnum):
    """Faults by the name of the file that switches them on."""

    DIES_WHEN_LEASED = "dies_when_leased"
    """SIGKILL after the next lease is durable and before it is answered, once."""

    DIES_WHEN_ACKNOWLEDGED = "dies_when_acknowledged"
    """SIGKILL after the next acknowledgement is durable and before it is answered, once."""

    LOSES_ACKNOWLEDGEMENTS = "loses_acknowledgements"
    """Acknowledgements are answered and forgotten."""


def install_faults(controls: Path) -> None:
    """Make this process's server obey the controls in a directory."""
    lease, acknowledge = Deliveries.lease, Deliveries.acknowledge

    def faulty_lease(self: Deliveries, *args: Any) -> Any:
        result = lease(self, *args)
        if result[1]:
            _die_once(controls / Fault.DIES_WHEN_LEASED)
        return result

    def faulty_acknowledge(self: Deliveries, *args: Any) -> None:
        if (controls / Fault.LOSES_ACKNOWLEDGEMENTS).exists():
            return
        acknowledge(self, *args)
        _die_once(controls / Fault.DIES_WHEN_ACKNOWLEDGED)

    setattr(Deliveries, "lease", faulty_lease)  # noqa: B010 - the type checker is right to mind
    setattr(Deliveries, "acknowledge", faulty_acknowledge)  # noqa: B010


def _die_once(switch: Path) -> None:
    if switch.exists():
        switch.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def run_faulty_server(data_file: Path, port_file: Path, controls: Path) -> None:
    """Serve until stopped, with the faults and the clock of the controls."""

    def clock() -> int:
        try:
            added = float((controls / CLOCK_FILE).read_text())
        except FileNotFoundError:
            added = 0.0
        return system_clock() + int(added * MICROSECONDS)

    install_faults(controls)
    run_server(data_file, port_file, clock=clock)
