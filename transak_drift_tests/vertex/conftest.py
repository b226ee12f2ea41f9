"""A loopback Vertex AI and a connection to it, for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.vertex.connection import VertexConnection
from transak_drift_tests.servers.clients import connect, monitored_config
from transak_drift_tests.servers.server import LoopbackVertex


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    """A server with one model of one version."""
    with LoopbackVertex(tmp_path / "buckets") as server:
        server.models.upload("transak-i1-train-model")
        yield server


@pytest.fixture
def connection(vertex: LoopbackVertex) -> Iterator[VertexConnection]:
    """The project's own clients, connected to the server."""
    connected = connect(vertex.endpoint)
    yield connected
    connected.close()


@pytest.fixture
def config() -> MonitoringConfig:
    """A configuration for the gcp platform."""
    return monitored_config()
