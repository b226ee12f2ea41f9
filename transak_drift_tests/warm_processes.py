"""Processes of tests that are forked from one which has imported everything.

Dagster, Google's clients and scikit-learn take ten seconds of processor time to import, which each
worker of pytest-xdist and each daemon, code server and run of a test would spend for itself.

Run as a program, this is the Python of a worker: it asks for a process that gets its standard
streams, and lives as long as that.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).parents[1]
_ADDRESS_VARIABLE = "TRANSAK_DRIFT_TESTS_FORK_SERVER"

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(["transak_drift_tests.warm_imports"])
_fork_server = forkserver._forkserver


def start_fork_server() -> str:
    """Start the server that all workers share; returns the Python that its processes pass for."""
    forkserver.ensure_running()
    os.environ[_ADDRESS_VARIABLE] = vars(_fork_server)["_forkserver_address"]
    # It would warn of what processes that were killed have left.
    return shlex.join([sys.executable, "-W", "ignore", __file__])


def _share_fork_server(address: str | None = None) -> None:
    """Fork this process's own processes from a server that runs, by default the one it is of."""
    if address is not None:
        alive = os.open(os.devnull, os.O_RDONLY)
        vars(_fork_server).update(_forkserver_address=address, _forkserver_alive_fd=alive)
    vars(_fork_server)["ensure_running"] = lambda: None


def _serve_as_worker(environment: dict[str, str], *streams: Connection) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    _share_fork_server()
    _set_surroundings(environment)
    with os.fdopen(os.dup(0), buffering=1) as sys.stdin:
        # All that execnet gives a Python to execute.
        exec(eval(sys.stdin.readline()), {"__name__": "__main__"})


class WarmProcess:
    """A process in a process group of its own, which its own processes share.

    It has no other environment variables, and its output goes to the log file. As a daemon it ends
    with this process, and has no processes.
    """

    def __init__(
        self,
        target: Callable[..., object],
        *arguments: object,
        environment: Mapping[str, str],
        log_file: Path,
        daemon: bool = False,
    ) -> None:
        self._process = forked.Process(
            target=_begin, args=(dict(environment), log_file, 0, target, arguments), daemon=daemon
        )
        # The server stays where it is started: the directory of a test is gone after it.
        with contextlib.chdir(REPOSITORY):
            _fork_server.ensure_running()
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, or the negative number of the signal; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self.poll()

    def kill(self) -> None:
        """Kill the process and all of its group by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.poll() is None:
            # It may not have come as far as its own group.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._process.join()


def _begin(
    environment: dict[str, str],
    log_file: Path,
    group: int,
    target: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.setpgid(0, group)
    _share_fork_server()
    _set_surroundings(environment)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    target(*arguments)


def _set_surroundings(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(REPOSITORY)


def run_dagster(*arguments: str) -> None:
    from dagster._cli import cli

    cli(list(arguments), prog_name="dagster")


def run_code_server(socket: Path, log_file: Path, module: str, name: str) -> None:
    """Run Dagster's code server, whose runs are forked as well, in the server's process group."""
    from dagster._grpc import server

    def run_worker(target: Callable[..., object], args: list[object]) -> Any:
        surroundings = (dict(os.environ), log_file, os.getpgrp())
        return forked.Process(target=_begin, args=(*surroundings, target, tuple(args)))

    context = SimpleNamespace(Queue=forked.Queue, Event=forked.Event, Process=run_worker)
    vars(server)["multiprocessing"] = SimpleNamespace(get_context=lambda method: context)
    location = ("--module-name", module, "--location-name", name)
    run_dagster("api", "grpc", "--socket", str(socket), *location)


def spawn_pubsub_server(directory: Path, port: int, grace_seconds: float) -> WarmProcess:
    """Start the embedded Pub/Sub server, as `embedded_pubsub` starts it in a process of its own."""
    from transak_drift.local.pubsub_server.server import main

    files = [str(directory / name) for name in ("pubsub.sqlite3", "server.json")]
    return WarmProcess(
        *(main, *files, str(port), str(directory / "users"), str(grace_seconds)),
        environment=os.environ,
        log_file=directory / "server.log",
        daemon=True,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    from transak_drift_tests import warm_processes

    warm_processes._share_fork_server(os.environ[_ADDRESS_VARIABLE])
    _streams = [Connection(os.dup(number)) for number in range(3)]
    _worker = forked.Process(
        target=warm_processes._serve_as_worker, args=(dict(os.environ), *_streams)
    )
    _worker.start()
    for _stream in _streams:
        _stream.close()
    for _number in (0, 1):
        os.close(_number)
    _worker.join()
    sys.exit(_worker.exitcode)
