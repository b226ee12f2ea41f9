"""What the tests of Dagster's definitions share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.storage_server import LoopbackStorage


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackStorage]:
    """Cloud Storage with the empty bucket `transak-i1`, a directory of that name."""
    (tmp_path / "transak-i1").mkdir()
    with LoopbackStorage(Buckets(tmp_path)) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
