"""A loopback Vertex AI and a connection to it, for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.vertex.connection import VertexConnection
from transak_drift_tests.servers.clients import connect, monitored_config
from transak_drift_tests.servers.server import LoopbackVertex


@pytest.fixture
def published() -> list[bytes]:
    """The bodies of the messages that have reached the topic."""
    return []


@pytest.fixture
def vertex(tmp_path: Path, published: list[bytes]) -> Iterator[LoopbackVertex]:
    """A server with one model of one version."""
    with LoopbackVertex(tmp_path / "buckets", publish=published.append) as server:
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
