"""Processes of tests that are forked from one which has imported everything.

Dagster, Google's clients and scikit-learn take ten seconds of processor time to import, which each
daemon, code server and run of a test would spend for itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).parents[1]

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(["transak_drift_tests.warm_imports"])


class WarmProcess:
    """A process in a process group of its own, which its own processes share.

    Args:
        target: what it runs, a function of a module.
        arguments: of the function.
        environment: all its environment variables.
        log_file: gets its output.
    """

    def __init__(
        self,
        target: Callable[..., object],
        *arguments: object,
        environment: Mapping[str, str],
        log_file: Path,
    ) -> None:
        self._process = forked.Process(
            target=_begin, args=(dict(environment), log_file, 0, target, arguments)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Status of the process, or the negative number of its signal; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end, and return the exit status."""
        self._process.join(seconds)
        return self.exit_status

    def kill(self) -> None:
        """Kill the process and all of its group by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.exit_status is None:
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
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(REPOSITORY)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    target(*arguments)


def run_dagster(*arguments: str) -> None:
    """Run Dagster's own command."""
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
    # The one that this process was forked from is used, not a cold one of its own.
    vars(forkserver._forkserver)["ensure_running"] = lambda: None
    location = ("--module-name", module, "--location-name", name)
    run_dagster("api", "grpc", "--socket", str(socket), *location)
