"""The trigger queue on the real client and the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from google.pubsub_v1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub import trigger_queue
from transak_drift.pubsub.connection import PubSubClients, connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.message import ReceivedMessage
from transak_drift_tests.config.configurations import configuration

# The least that `TriggerQueue.pull` asks for; the embedded server answers an empty pull after half.
WAIT_SECONDS = 2.0


class QueueInTest(TriggerQueue):
    """The queue, with what tests do to it."""

    def take(self, most: int = 10_000) -> list[ReceivedMessage]:
        """Pull what there is."""
        return list(self.pull(most, 64_000_000, WAIT_SECONDS))

    def reject(self, reason: str = "not_json", detail: str = "detail") -> None:
        """Forward all that waits, as the sensor does."""
        messages = self.take()
        self.publish_dead_letters([(message, reason, detail) for message in messages])
        self.acknowledge([message.ack_id for message in messages])

    def publish_with(self, body: bytes, attributes: dict[str, str]) -> str:
        """Publish a message with attributes, as others do."""
        message = types.PubsubMessage(data=body, attributes=attributes)
        response = self.clients.publisher.publish(topic=self.topic, messages=[message])
        return response.message_ids[0]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_queue, "_PAGE_WAIT_SECONDS", WAIT_SECONDS)


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubSubClients]:
    with ensure_embedded_pubsub(tmp_path_factory.mktemp("pubsub"), grace_seconds=1.0) as server:
        connected = connect(server.endpoint)
        yield connected
        connected.close()


@pytest.fixture
def config() -> MonitoringConfig:
    """A configuration whose topics no other test uses."""
    return configuration(trigger_topic=f"topic-{uuid4()}")


@pytest.fixture
def queue(clients: PubSubClients, config: MonitoringConfig) -> QueueInTest:
    queue = QueueInTest(clients, config)
    queue.ensure_exists()
    return queue
