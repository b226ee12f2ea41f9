"""Ports of 127.0.0.1, for processes that tests start."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from subprocess import Popen

from transak_drift_tests.warm_processes import WarmProcess

_LIMIT_SECONDS = 90


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(port: int, process: Popen[bytes] | WarmProcess, log_file: Path) -> None:
    """Wait until a process listens; where it ends or takes too long, its log is told."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    log = log_file.read_text(errors="replace")[-3_000:]
    raise AssertionError(f"nothing listens after {_LIMIT_SECONDS} s or the process's end:\n{log}")
