"""The servers that the conformance tests run against."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift_tests.conformance.google_emulator import (
    EmulatorNotInstalledError,
    running_emulator,
)
from transak_drift_tests.conformance.workspace import Workspace

_DIRECTORY = Path(__file__).parent
_EMBEDDED = "embedded"
_GOOGLE = "google-emulator"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow the deprecated return_immediately here: it shows without a wait that nothing is due."""
    ignored = pytest.mark.filterwarnings("ignore:The return_immediately flag:DeprecationWarning")
    for item in items:
        if _DIRECTORY in item.path.parents:
            item.add_marker(ignored)


@pytest.fixture(scope="session", params=[_EMBEDDED, _GOOGLE])
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
    workspace = Workspace(endpoint, follows_documented_limits=kind == _EMBEDDED)
    yield workspace
    workspace.close()
