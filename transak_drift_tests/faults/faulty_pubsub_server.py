"""The embedded Pub/Sub server with a clock that tests set, and faults that they switch on.

Run as `python -m transak_drift_tests.faults.faulty_pubsub_server DATA_FILE PORT_FILE CONTROLS`. The
directory CONTROLS may hold the file `clock` (seconds added to the time, so that leases end without
waiting) and the files of `Fault`.
"""

from __future__ import annotations

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

from transak_drift.local.pubsub_server import server
from transak_drift.local.pubsub_server.clock import MICROSECONDS, SystemClock
from transak_drift.local.pubsub_server.delivery_store import DeliveryStore

CLOCK_FILE = "clock"


class Fault(StrEnum):
    """Faults by the name of the file that switches them on."""

    DIES_WHEN_LEASED = "dies_when_leased"
    """SIGKILL after the next lease is durable and before it is answered, once."""

    DIES_WHEN_ACKNOWLEDGED = "dies_when_acknowledged"
    """SIGKILL after the next acknowledgement is durable and before it is answered, once."""

    LOSES_ACKNOWLEDGEMENTS = "loses_acknowledgements"
    """Acknowledgements are answered and forgotten."""


class SetClock(SystemClock):
    """The wall clock and what a file adds to it.

    Args:
        file: holds the seconds to add; none are added without it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> int:
        """Return the microseconds since 1970-01-01T00:00:00Z."""
        try:
            added = float(self._file.read_text())
        except FileNotFoundError:
            added = 0.0
        return super().now() + int(added * MICROSECONDS)


def install_faults(controls: Path) -> None:
    """Make this process's server obey the controls.

    Args:
        controls: the directory.
    """
    lease, acknowledge = DeliveryStore.lease, DeliveryStore.acknowledge

    def faulty_lease(self: DeliveryStore, *args: Any, **kwargs: Any) -> Any:
        result = lease(self, *args, **kwargs)
        if result.messages:
            _die_once(controls / Fault.DIES_WHEN_LEASED)
        return result

    def faulty_acknowledge(self: DeliveryStore, *args: Any, **kwargs: Any) -> None:
        if (controls / Fault.LOSES_ACKNOWLEDGEMENTS).exists():
            return
        acknowledge(self, *args, **kwargs)
        _die_once(controls / Fault.DIES_WHEN_ACKNOWLEDGED)

    vars(server)["SystemClock"] = lambda: SetClock(controls / CLOCK_FILE)
    setattr(DeliveryStore, "lease", faulty_lease)  # noqa: B010 - the type checker is right to mind
    setattr(DeliveryStore, "acknowledge", faulty_acknowledge)  # noqa: B010


def _die_once(switch: Path) -> None:
    if switch.exists():
        switch.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    install_faults(Path(sys.argv[3]))
    server.run_server(
        server.ServerOptions(data_file=Path(sys.argv[1]), port_file=Path(sys.argv[2]))
    )
