"""Dagster's services as processes of their own, which end with the command that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


@contextmanager
def on_stop_signal(stop: Callable[[], None]) -> Generator[None]:
    """Call a function at SIGINT, SIGTERM and SIGHUP, until the block is left.

    A shell starts the background jobs of a script with SIGINT ignored. Dagster's services would
    inherit that, and with it ignore SIGTERM as well.

    Args:
        stop: is called in the main thread, as often as a signal comes.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class DagsterServices:
    """Runs Dagster's own commands until the block is left.

    Args:
        dagster_home: Dagster's directory.
        log_file: gets the output; by default it goes where this process's output goes.
    """

    def __init__(self, dagster_home: Path, log_file: Path | None = None) -> None:
        self._environment = {**os.environ, "DAGSTER_HOME": str(dagster_home)}
        self._log_file = log_file
        self._log: IO[bytes] | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._log = self._log_file.open("ab") if self._log_file else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in reversed(self._processes.values()):
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in reversed(self._processes.values()):
            while _group_lives(process) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            _signal_group(process, signal.SIGKILL)
            process.wait()
        if self._log is not None:
            self._log.close()

    def start(self, command: str, *arguments: str) -> None:
        """Start a command in a process group of its own, which its own processes share.

        Args:
            command: an entry point of Dagster, e.g. `dagster-daemon`.
            arguments: its arguments.
        """
        self._processes[command] = subprocess.Popen(
            [str(Path(sys.executable).with_name(command)), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log and subprocess.STDOUT,
            process_group=0,
        )

    def ended(self) -> str | None:
        """Return which service has ended by itself and how, or None while all run."""
        for command, process in self._processes.items():
            if process.poll() is not None:
                return f"{command} ended with status {process.returncode}"
        return None


@contextmanager
def dagster_daemon(
    dagster_home: Path, workspace: Path, log_file: Path
) -> Generator[DagsterServices]:
    """Run the daemon until the block is left.

    Args:
        dagster_home: Dagster's directory.
        workspace: names the code location.
        log_file: gets the daemon's output.

    Yields:
        The running daemon.
    """
    with DagsterServices(dagster_home, log_file) as services:
        services.start("dagster-daemon", "run", "--workspace", str(workspace))
        yield services


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
