"""Dagster's daemon as a process of its own, for commands that need the sensor to run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def dagster_daemon(
    dagster_home: Path, log_file: Path, environment: Mapping[str, str]
) -> Generator[subprocess.Popen[bytes]]:
    """Run `dagster-daemon` until the block is left.

    Args:
        dagster_home: Dagster's directory.
        log_file: gets the daemon's output.
        environment: variables of the daemon besides this process's own.

    Yields:
        The running process.
    """
    command = [
        str(Path(sys.executable).with_name("dagster-daemon")),
        "run",
        "--module-name",
        "transak_drift.definitions",
    ]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "DAGSTER_HOME": str(dagster_home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
