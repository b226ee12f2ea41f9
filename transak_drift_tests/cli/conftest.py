"""A project of its own for a test, with the embedded Pub/Sub server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift_tests.config.configurations import CONFIG_FILE, configuration


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the repository's configuration, and no home yet."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(CONFIG_FILE, tmp_path)
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "state"))
    for name in ("PUBSUB_EMULATOR_HOST", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def queue(project: Path) -> Iterator[TriggerQueue]:
    with ensure_embedded_pubsub(project / "state" / "pubsub", grace_seconds=1.0) as server:
        queue = TriggerQueue(connect(server.endpoint), configuration())
        queue.ensure_exists()
        yield queue
        queue.close()
