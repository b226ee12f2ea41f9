"""The embedded Pub/Sub server in a process that tests kill, start again, starve and confuse."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

from transak_drift.local.pubsub_server.server import run_server
from transak_drift.local.pubsub_server.server_address import read_server_address
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage, system_clock
from transak_drift_tests.warm_processes import WarmProcess, forked

_START_SECONDS = 30.0


class Controls(ctypes.Structure):
    """What tests set in the memory that they share with the server.

    Attributes:
        seconds_added: to the server's clock, so that leases end without waiting.
        dies_when_leased: by SIGKILL, once, after a lease is durable and before it is answered.
        dies_when_acknowledged: likewise after an acknowledgement.
        loses_acknowledgements: answers them, and forgets them.
    """

    _fields_ = (
        ("seconds_added", ctypes.c_double),
        ("dies_when_leased", ctypes.c_bool),
        ("dies_when_acknowledged", ctypes.c_bool),
        ("loses_acknowledgements", ctypes.c_bool),
    )


def run_faulty_server(data_file: Path, address_file: Path, port: int, controls: Controls) -> None:
    """Serve until killed, as the controls say."""
    lease, acknowledge = Storage.lease, Storage.acknowledge

    def die_once(control: str) -> None:
        if getattr(controls, control):
            setattr(controls, control, False)
            os.kill(os.getpid(), signal.SIGKILL)

    def faulty_lease(self: Storage, *args: Any) -> Any:
        result = lease(self, *args)
        if result.received_messages:
            die_once("dies_when_leased")
        return result

    def faulty_acknowledge(self: Storage, *args: Any) -> None:
        if not controls.loses_acknowledgements:
            acknowledge(self, *args)
            die_once("dies_when_acknowledged")

    setattr(Storage, "lease", faulty_lease)  # noqa: B010 - the type checker is right to mind
    setattr(Storage, "acknowledge", faulty_acknowledge)  # noqa: B010

    def clock() -> int:
        return system_clock() + int(controls.seconds_added * MICROSECONDS)

    run_server(data_file, address_file, port, clock)


class PubSubServerProcess:
    """A server over one data file; its port stays the same across restarts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.data_file = directory / "pubsub.sqlite3"
        self._address_file = directory / "server.json"
        self._log_file = directory / "server.log"
        self.controls = forked.RawValue(Controls)
        self.start()

    def start(self) -> None:
        """Start the server, and return when it answers."""
        former = read_server_address(self._address_file)
        self._address_file.unlink(missing_ok=True)
        port = former.port if former else 0
        self._process = process = WarmProcess(
            *(run_faulty_server, self.data_file, self._address_file, port, self.controls),
            environment=os.environ,
            log_file=self._log_file,
        )
        while (address := read_server_address(self._address_file)) is None:
            if process.poll() is not None:
                raise AssertionError(f"the server did not start:\n{self._log_file.read_text()}")
            time.sleep(0.005)
        self.endpoint = address.endpoint

    def kill(self) -> None:
        self._process.kill()

    def restart(self) -> None:
        """Kill the server by SIGKILL, and start it again on the same port."""
        self.kill()
        self.start()

    def restart_when_dead(self) -> threading.Thread:
        """Start the server again, in a thread, as soon as a control has killed it."""

        def restart() -> None:
            self._process.wait(_START_SECONDS)
            self.start()

        thread = threading.Thread(target=restart, daemon=True)
        thread.start()
        return thread

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the server's process."""
        os.kill(self._process.pid, what)

    def limit_files(self, size: int = resource.RLIM_INFINITY) -> None:
        """Let no file of the server grow further, so that it finds its disk full."""
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, limits)
