"""A loopback Vertex AI that the steps find through their environment, and KFP's local runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import local
from kfp.local.config import LocalExecutionConfig

from transak_drift.pipelines.monitoring_step import ENDPOINT_VARIABLE
from transak_drift_tests.servers.server import LoopbackVertex


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackVertex]:
    """A server without a model."""
    with LoopbackVertex(tmp_path / "buckets") as server:
        monkeypatch.setenv(ENDPOINT_VARIABLE, server.endpoint)
        yield server


@pytest.fixture
def local_runner(tmp_path: Path) -> Iterator[None]:
    """A component that is called runs as the process that its container would start."""
    former = LocalExecutionConfig.instance
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    yield
    LocalExecutionConfig.instance = former
