"""The servers that the conformance tests run against."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift_tests.conformance.google_emulator import (
    EmulatorNotInstalledError,
    running_emulator,
)
from transak_drift_tests.conformance.workspace import Workspace

_EMBEDDED = "embedded"


@pytest.fixture(scope="session", params=[_EMBEDDED, "google-emulator"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[str, str]]:
    """Kind and endpoint of a running server."""
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == _EMBEDDED:
            running = stack.enter_context(ensure_embedded_pubsub(directory, grace_seconds=1.0))
            endpoint = running.endpoint
        else:
            try:
                endpoint = stack.enter_context(running_emulator(directory / "emulator.log"))
            except EmulatorNotInstalledError as error:
                pytest.skip(str(error))
        yield request.param, endpoint


@pytest.fixture
def pubsub(server: tuple[str, str]) -> Generator[Workspace]:
    """The real clients and a project of their own on the server."""
    kind, endpoint = server
    with Workspace(endpoint, follows_documented_limits=kind == _EMBEDDED) as workspace:
        yield workspace
