"""A loopback Vertex AI that the steps find through their environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transak_drift.pipelines.monitoring_step import ENDPOINT_VARIABLE
from transak_drift_tests.servers.server import LoopbackVertex


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackVertex]:
    """A server without a model."""
    with LoopbackVertex(tmp_path / "buckets") as server:
        monkeypatch.setenv(ENDPOINT_VARIABLE, server.endpoint)
        yield server
