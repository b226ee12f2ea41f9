"""The faulty Pub/Sub server as a process that tests kill, start again and starve."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from transak_drift.local.pubsub_server.server_files import read_server_address
from transak_drift_tests.faults.faulty_pubsub_server import CLOCK_FILE, Fault, run_faulty_server
from transak_drift_tests.warm_processes import WarmProcess

_START_SECONDS = 30.0


class PubSubServerProcess:
    """A server over one data file; its port stays the same across restarts.

    Args:
        directory: holds the data and the controls.
    """

    def __init__(self, directory: Path) -> None:
        self.data_file = directory / "pubsub.sqlite3"
        self._port_file = directory / "server.json"
        self._log_file = directory / "server.log"
        self._controls = directory / "controls"
        self._controls.mkdir(parents=True)
        self._seconds_added = 0.0
        self._process: WarmProcess | None = None
        self.endpoint = ""

    def start(self) -> None:
        """Start the server, and return when it answers."""
        files = (self.data_file, self._port_file, self._controls)
        process = WarmProcess(
            run_faulty_server, *files, environment=os.environ, log_file=self._log_file
        )
        self._process = process
        while (address := read_server_address(self._port_file)) is None or (
            address.process_id != process.pid
        ):
            if process.exit_status is not None:
                raise AssertionError(f"the server did not start:\n{self._log_file.read_text()}")
        with grpc.insecure_channel(address.endpoint) as channel:
            health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=_START_SECONDS
            )
        self.endpoint = address.endpoint

    def kill(self) -> None:
        """Kill the server by SIGKILL."""
        self._running().kill()

    def restart(self) -> None:
        """Kill the server by SIGKILL, and start it again on the same port."""
        self.kill()
        self.start()

    def wait_until_dead(self) -> None:
        """Wait for the server to kill itself, as an armed fault makes it do."""
        self._running().wait(_START_SECONDS)

    def freeze(self) -> None:
        """Stop the server where it is, as a machine that hangs."""
        os.kill(self.process_id, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on."""
        os.kill(self.process_id, signal.SIGCONT)

    def arm(self, fault: Fault) -> None:
        """Switch a fault on."""
        (self._controls / fault).touch()

    def disarm(self, fault: Fault) -> None:
        """Switch a fault off, whether or not it is on."""
        (self._controls / fault).unlink(missing_ok=True)

    def add_seconds(self, seconds: float) -> None:
        """Set the server's clock forward, or backward.

        Args:
            seconds: how far.
        """
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
        """Process of the server that was started last."""
        return self._running().pid

    def _running(self) -> WarmProcess:
        assert self._process is not None, "the server was never started"
        return self._process
