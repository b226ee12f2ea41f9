"""Dagster's own directory for the commands, and its services as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from transak_drift.platform import PlatformError

CODE_MODULE = "transak_drift.definitions"
CODE_LOCATION = "transak_drift"
# Of a run in a command's own process: its log goes to the Dagster instance all the same.
QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


def dagster_home(home: Path) -> Path:
    """Return DAGSTER_HOME, or else the directory for Dagster's history in the platform's home."""
    given = os.environ.get("DAGSTER_HOME")
    if not given:
        return make_dagster_home(home / "dagster_home")
    if not Path(given).is_absolute() or not Path(given).is_dir():
        raise PlatformError(
            f"DAGSTER_HOME = {given!r} is not the absolute path of a directory; make it, or unset "
            "DAGSTER_HOME"
        )
    return Path(given)


def make_dagster_home(directory: Path) -> Path:
    """Make a directory for Dagster's history; instance settings that are there are kept."""
    # First, as resolving links that lead in a circle is no OSError.
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    settings = directory / "dagster.yaml"
    if not settings.exists():
        settings.write_bytes((files("transak_drift") / "dagster.yaml").read_bytes())
    return directory


def write_workspace(directory: Path, socket: Path | None = None) -> Path:
    """Write a workspace file; without a code server's socket each service starts its own.

    Dagster keeps a sensor's cursor and run keys by the location's name: under another name the
    sensor would start from the beginning.
    """
    location = {"python_module": {"module_name": CODE_MODULE, "location_name": CODE_LOCATION}}
    if socket is not None:
        location = {"grpc_server": {"socket": str(socket), "location_name": CODE_LOCATION}}
    directory.mkdir(parents=True, exist_ok=True)
    file = directory.resolve() / "workspace.yaml"
    file.write_text(json.dumps({"load_from": [location]}), encoding="utf-8")
    return file


@contextmanager
def on_stop_signal(
    handler: Callable[..., Any] = signal.default_int_handler,
) -> Generator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP, by default as a Ctrl-C, until the block is left.

    A shell starts the background jobs of a script with SIGINT ignored. Dagster's services would
    inherit that, and with it ignore SIGTERM as well.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


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
