"""Dagster's services as processes of their own, which end with the command that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


@contextmanager
def on_stop_signal(stop: Callable[[], None]) -> Generator[None]:
    """Call a function at SIGINT, SIGTERM and SIGHUP, until the block is left.

    A shell starts the background jobs of a script with SIGINT ignored. Dagster's services would
    inherit that, and with it ignore SIGTERM as well.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class DagsterServices:
    """Dagster's own commands, each in a process group that its own processes share.

    Leaving the block ends them all. Without a log file they write where this process does.
    """

    def __init__(self, dagster_home: Path, log_file: Path | None = None) -> None:
        self._environment = {**os.environ, "DAGSTER_HOME": str(dagster_home)}
        self._log = log_file.open("ab") if log_file else None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def start(self, command: str, *arguments: str) -> None:
        """Start an entry point of Dagster, for example `dagster-daemon`."""
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

    def __exit__(self, *_: object) -> None:
        latest_first = list(reversed(self._processes.values()))
        for process in latest_first:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in latest_first:
            while _signal_group(process, 0) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            _signal_group(process, signal.SIGKILL)
            process.wait()
        if self._log is not None:
            self._log.close()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Signal a process and what it started; return whether any of them lives."""
    process.poll()
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
