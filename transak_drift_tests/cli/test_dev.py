"""`transak-drift dev` as a script starts it: in the background, where SIGINT is ignored."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from transak_drift.platform import PlatformError
from transak_drift_tests.cli.commands import call
from transak_drift_tests.servers.ports import free_port

PROGRAM = str(Path(sys.executable).with_name("transak-drift"))
LIMIT_SECONDS = 300.0


def wait_for(what: str, look: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not look():
        assert time.monotonic() < deadline, f"{what} did not happen in {LIMIT_SECONDS} s"
        time.sleep(0.1)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as answer:
            return "dagster_version" in json.load(answer)
    except OSError:
        return False


def processes_that_name(text: str) -> list[str]:
    """Return the command lines, environment included, of the processes that name a text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines = [(process / name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
        if int(process.name) != os.getpid() and text.encode() in b" ".join(lines):
            found.append(lines[0].replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize(
    ("number", "while_starting"), [(signal.SIGTERM, False), (signal.SIGINT, True)]
)
def test_dev_in_the_background_of_a_script_ends_with_everything_that_it_started(
    project: Path, number: signal.Signals, while_starting: bool
) -> None:
    port, output, home = free_port(), project / "output", project / "state"
    script = f'"{PROGRAM}" dev --port {port} >"{output}" 2>&1 & echo $!; wait $!; echo "status $?"'
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        process_id = int(shell.stdout.readline())
        try:
            if while_starting:
                wait_for("a service", lambda: len(processes_that_name(str(home))) > 2)
            else:
                wait_for("the UI", lambda: answers(port))
                with pytest.raises(PlatformError, match=rf"process {process_id} \(.*dev --port"):
                    call("dev", "--port", str(free_port()))
        finally:
            os.kill(process_id, number)
        assert shell.stdout.readline().strip() == "status 0"
    assert processes_that_name(str(home)) == []
    written = output.read_text()
    assert f"http://127.0.0.1:{port}" in written
    assert "will not be used" not in written
    assert "Supersession" not in written


def test_a_taken_port_is_refused_at_once_with_the_process_that_holds_it(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(
            PlatformError, match=rf"--port {port} is in use by process {os.getpid()} \("
        ):
            call("dev", "--port", str(port))
