"""The servers that the conformance tests run against: ours, and Google's where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift_tests.conformance.workspace import Workspace
from transak_drift_tests.servers.ports import free_port

_START_SECONDS = 60


def _emulator_command() -> list[str]:
    """Return the command that starts Google's emulator, without host and port."""
    gcloud, java = shutil.which("gcloud"), shutil.which("java")
    sdk = Path(gcloud or "/").resolve().parent.parent
    jar = next(sdk.glob("platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"), None)
    if java is None or jar is None:
        pytest.skip("needs gcloud and Java, and: gcloud components install pubsub-emulator")
    return [java, "-jar", str(jar)]


@contextmanager
def _running_emulator(log_file: Path) -> Generator[str]:
    """Run the emulator on a free port and yield its `host:port`."""
    command = _emulator_command()
    port = free_port()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={port}"], stdout=log, stderr=subprocess.STDOUT
        )
    endpoint = f"127.0.0.1:{port}"
    try:
        with grpc.insecure_channel(endpoint, [("grpc.enable_http_proxy", 0)]) as channel:
            grpc.channel_ready_future(channel).result(timeout=_START_SECONDS)
        yield endpoint
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session", params=["embedded", "google-emulator"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[str, str]]:
    """Kind and endpoint of a running server."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with ensure_embedded_pubsub(directory, grace_seconds=1.0) as running:
            yield request.param, running.endpoint
    else:
        with _running_emulator(directory / "emulator.log") as endpoint:
            yield request.param, endpoint


@pytest.fixture
def pubsub(server: tuple[str, str]) -> Generator[Workspace]:
    """The real clients and a project of their own on the server."""
    kind, endpoint = server
    with Workspace(endpoint, follows_documented_limits=kind == "embedded") as workspace:
        yield workspace
