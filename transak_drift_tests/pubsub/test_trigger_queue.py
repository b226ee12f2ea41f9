"""The trigger topic and its subscription: publish, pull, settle, and what was deleted."""

from __future__ import annotations

import logging

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import PubSubClients
from transak_drift_tests.pubsub.conftest import WAIT_SECONDS, QueueInTest


def test_what_is_acknowledged_is_gone_and_what_is_released_comes_again(queue: QueueInTest) -> None:
    queue.publish_many([b"one", b"two"])
    # Making what exists changes nothing.
    queue.ensure_exists()
    first, second = sorted(queue.take(), key=lambda message: message.data)
    queue.acknowledge([first.ack_id])
    queue.release([second.ack_id])
    [again] = queue.take()
    assert (again.message_id, again.data) == (second.message_id, b"two")
    queue.acknowledge([again.ack_id])
    assert queue.take() == []


def test_a_pull_keeps_to_its_bounds(queue: QueueInTest) -> None:
    queue.publish_many([b"x" * 100] * 30)
    assert len(queue.take(7)) == 7
    assert 10 <= len(list(queue.pull(10, 500, WAIT_SECONDS))) <= 23


def test_what_is_no_ack_id_at_all_is_refused_in_a_sentence(queue: QueueInTest) -> None:
    with pytest.raises(PlatformError, match="Invalid ack id") as refusal:
        queue.acknowledge(["of-another-server"])
    assert queue.subscription in str(refusal.value)


def test_a_missing_subscription_is_named_with_the_fix(
    clients: PubSubClients, config: MonitoringConfig
) -> None:
    queue = QueueInTest(clients, config)
    with pytest.raises(PlatformError, match=r"does not exist.*terraform apply") as error:
        queue.take()
    assert queue.subscription in str(error.value)
    with pytest.raises(PlatformError, match="does not exist"):
        queue.publish(b"lost")


def test_a_pull_whose_topic_was_deleted_says_so(queue: QueueInTest, clients: PubSubClients) -> None:
    queue.publish(b"before")
    clients.publisher.delete_topic(topic=queue.topic)
    [before] = queue.take()
    queue.acknowledge([before.ack_id])
    # Also once there is a topic of that name again: the subscription is not one of it.
    clients.publisher.create_topic(name=queue.topic)
    with pytest.raises(PlatformError, match=r"was deleted.*terraform apply") as error:
        queue.take()
    assert queue.topic in str(error.value)
    assert queue.subscription in str(error.value)


def test_deleted_topics_and_their_subscriptions_are_made_again(
    queue: QueueInTest, clients: PubSubClients, caplog: pytest.LogCaptureFixture
) -> None:
    message_id = queue.publish(b"{")
    queue.reject()
    queue.publish_with(b"waits", {"origin": "sink"})
    for topic in (queue.topic, queue.dead_letter_topic):
        clients.publisher.delete_topic(topic=topic)
    with caplog.at_level(logging.WARNING):
        queue.ensure_exists()
    assert f"{queue.topic} had been deleted" in caplog.text
    queue.publish(b"new")
    found = {message.data: dict(message.attributes) for message in queue.take()}
    assert found == {b"waits": {"origin": "sink"}, b"new": {}}
    [letter] = queue.list_dead_letters()
    assert (letter.source_message_id, letter.reason) == (message_id, "not_json")
    caplog.clear()
    queue.ensure_exists()
    assert not caplog.text


def test_a_subscription_of_another_topic_is_left_alone(
    queue: QueueInTest, clients: PubSubClients
) -> None:
    clients.subscriber.delete_subscription(subscription=queue.subscription)
    clients.subscriber.create_subscription(name=queue.subscription, topic=queue.dead_letter_topic)
    with pytest.raises(PlatformError, match="name another subscription"):
        queue.ensure_exists()
