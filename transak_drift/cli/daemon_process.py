"""Dagster's daemon as a process of its own, for commands that need the sensor to run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def dagster_daemon(
    dagster_home: Path, workspace: Path, log_file: Path
) -> Generator[subprocess.Popen[bytes]]:
    """Run `dagster-daemon` until the block is left.

    Args:
        dagster_home: Dagster's directory.
        workspace: names the code location.
        log_file: gets the daemon's output.

    Yields:
        The running process.
    """
    command = [
        str(Path(sys.executable).with_name("dagster-daemon")),
        "run",
        "--workspace",
        str(workspace),
    ]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "DAGSTER_HOME": str(dagster_home)},
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
