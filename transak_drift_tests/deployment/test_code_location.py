"""The code location's process, with the very command and health check of the compose file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from transak_drift_tests.deployment.postgres_server import deployed_dagster_home

REPOSITORY = Path(__file__).parents[2]
LIMIT_SECONDS = 90


def command_line(words: list[str], port: int) -> list[str]:
    """Return a command of the compose file, on loopback and on another port."""
    found = shutil.which(words[0], path=str(Path(sys.executable).parent))
    assert found is not None
    changed = {"--port=4000": f"--port={port}", "--host=0.0.0.0": "--host=127.0.0.1"}
    return [found, *(changed.get(word, word) for word in words[1:])]


def wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.2)
    raise AssertionError(f"not in {LIMIT_SECONDS} s:\n{log.read_text(errors='replace')[-3_000:]}")


def test_the_code_location_serves_the_project_and_answers_its_health_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))
    service = compose["services"]["code_location"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    health_check = command_line(service["healthcheck"]["test"][1:], port)
    log = tmp_path / "log"

    def is_healthy() -> bool:
        return subprocess.run(health_check, capture_output=True, check=False).returncode == 0

    with (
        deployed_dagster_home(tmp_path / "dagster_home", monkeypatch) as home,
        log.open("wb") as to,
    ):
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(home),
            "TRANSAK_DRIFT_HOME": str(tmp_path / "state"),
        }
        assert not is_healthy()
        server = subprocess.Popen(
            command_line(service["command"], port),
            cwd=REPOSITORY,
            env=environment,
            stdout=to,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for_port(port, server, log)
            assert is_healthy()
            # The daemon's and webserver's workspace, with this server's address.
            workspace = (REPOSITORY / "deployment" / "workspace.yaml").read_text(encoding="utf-8")
            (tmp_path / "workspace.yaml").write_text(
                workspace.replace("host: code_location", "host: 127.0.0.1").replace(
                    "port: 4000", f"port: {port}"
                )
            )
            listed = subprocess.run(
                [*command_line(["dagster", "schedule", "list"], port), "-w", "workspace.yaml"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
            assert listed.returncode == 0, listed.stderr
            assert "Schedule: daily_monitoring_schedule" in listed.stdout
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
