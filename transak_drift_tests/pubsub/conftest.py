"""The trigger queue on the real client and the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub import trigger_queue
from transak_drift.pubsub.connection import PubSubClients, connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift_tests.config.configurations import configuration

# The embedded server answers an empty pull after half of so short a wait.
WAIT_SECONDS = 0.5


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_queue, "_PAGE_WAIT_SECONDS", WAIT_SECONDS)


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubSubClients]:
    directory: Path = tmp_path_factory.mktemp("pubsub")
    with ensure_embedded_pubsub(directory, grace_seconds=1.0) as server:
        connected = connect(server.endpoint)
        yield connected
        connected.close()


@pytest.fixture
def config(request: pytest.FixtureRequest) -> MonitoringConfig:
    """A configuration whose topics no other test uses."""
    topic = f"topic-of-{request.node.name}".replace("_", "-").replace("[", "-").replace("]", "")
    return configuration(trigger_topic=topic[:120])


@pytest.fixture
def queue(clients: PubSubClients, config: MonitoringConfig) -> TriggerQueue:
    queue = TriggerQueue(clients, config)
    queue.ensure_exists()
    return queue
