"""The embedded Pub/Sub server with a clock that tests set, and faults that they switch on.

It is a process that tests kill, start again and starve. The directory of its controls may hold the
file `clock` (seconds added to the time, so that leases end without waiting) and the files of
`Fault`.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from transak_drift.local.pubsub_server.server import run_server
from transak_drift.local.pubsub_server.server_files import read_server_address
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage, system_clock
from transak_drift_tests.warm_processes import WarmProcess

_START_SECONDS = 30.0
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
    lease, acknowledge = Storage.lease, Storage.acknowledge

    def faulty_lease(self: Storage, *args: Any) -> Any:
        result = lease(self, *args)
        if result.received_messages:
            _die_once(controls / Fault.DIES_WHEN_LEASED)
        return result

    def faulty_acknowledge(self: Storage, *args: Any) -> None:
        if (controls / Fault.LOSES_ACKNOWLEDGEMENTS).exists():
            return
        acknowledge(self, *args)
        _die_once(controls / Fault.DIES_WHEN_ACKNOWLEDGED)

    setattr(Storage, "lease", faulty_lease)  # noqa: B010 - the type checker is right to mind
    setattr(Storage, "acknowledge", faulty_acknowledge)  # noqa: B010


def _die_once(switch: Path) -> None:
    if switch.exists():
        switch.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def run_faulty_server(data_file: Path, address_file: Path, port: int, controls: Path) -> None:
    """Serve until stopped, with the faults and the clock of the controls."""

    def clock() -> int:
        try:
            added = float((controls / CLOCK_FILE).read_text())
        except FileNotFoundError:
            added = 0.0
        return system_clock() + int(added * MICROSECONDS)

    install_faults(controls)
    run_server(data_file, address_file, port, clock)


class PubSubServerProcess:
    """A server over one data file; its port stays the same across restarts."""

    def __init__(self, directory: Path) -> None:
        self.data_file = directory / "pubsub.sqlite3"
        self._address_file = directory / "server.json"
        self._log_file = directory / "server.log"
        self._controls = directory / "controls"
        self._controls.mkdir(parents=True)
        self._seconds_added = 0.0
        self._process: WarmProcess | None = None
        self.endpoint = ""

    def start(self) -> None:
        """Start the server, and return when it answers."""
        former = read_server_address(self._address_file)
        self._address_file.unlink(missing_ok=True)
        port = former.port if former else 0
        process = WarmProcess(
            *(run_faulty_server, self.data_file, self._address_file, port, self._controls),
            environment=os.environ,
            log_file=self._log_file,
        )
        self._process = process
        while (address := read_server_address(self._address_file)) is None:
            if process.exit_status is not None:
                raise AssertionError(f"the server did not start:\n{self._log_file.read_text()}")
            time.sleep(0.005)
        self.endpoint = address.endpoint

    def kill(self) -> None:
        self._running().kill()

    def restart(self) -> None:
        """Kill the server by SIGKILL, and start it again on the same port."""
        self.kill()
        self.start()

    def restart_when_dead(self) -> threading.Thread:
        """Start the server again, in a thread, as soon as an armed fault has killed it."""

        def restart() -> None:
            self._running().wait(_START_SECONDS)
            self.start()

        thread = threading.Thread(target=restart, daemon=True)
        thread.start()
        return thread

    def freeze(self) -> None:
        """Stop the server where it is, as a machine that hangs."""
        os.kill(self.process_id, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process_id, signal.SIGCONT)

    def arm(self, fault: Fault) -> None:
        (self._controls / fault).touch()

    def disarm(self, fault: Fault) -> None:
        (self._controls / fault).unlink(missing_ok=True)

    def add_seconds(self, seconds: float) -> None:
        """Set the server's clock forward, or backward."""
        self._seconds_added += seconds
        temporary = self._controls / "clock.new"
        temporary.write_text(str(self._seconds_added))
        temporary.replace(self._controls / CLOCK_FILE)

    def fill_disk(self) -> None:
        """Let no file of the server grow: it finds its disk full."""
        present = self.data_file.stat().st_size
        resource.prlimit(
            self.process_id, resource.RLIMIT_FSIZE, (min(present, 4_096), resource.RLIM_INFINITY)
        )

    def empty_disk(self) -> None:
        """Give the server's disk room again."""
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.process_id, resource.RLIMIT_FSIZE, unlimited)

    @property
    def process_id(self) -> int:
        return self._running().pid

    def _running(self) -> WarmProcess:
        assert self._process is not None, "the server was never started"
        return self._process
