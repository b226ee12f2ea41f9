"""The trigger topic and its subscription: publish, pull, settle, and what was deleted."""

from __future__ import annotations

import logging

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import PubSubClients
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.message import ReceivedMessage
from transak_drift_tests.pubsub.conftest import WAIT_SECONDS


def pull(queue: TriggerQueue, most: int = 1_000) -> list[ReceivedMessage]:
    return queue.pull(most, 64_000_000, WAIT_SECONDS)


def test_making_what_exists_changes_nothing(queue: TriggerQueue) -> None:
    queue.publish(b"kept")
    queue.ensure_exists()
    assert [message.data for message in pull(queue)] == [b"kept"]


def test_what_is_acknowledged_is_gone_and_what_is_released_comes_again(queue: TriggerQueue) -> None:
    queue.publish_many([b"one", b"two"])
    first, second = sorted(pull(queue), key=lambda message: message.data)
    queue.acknowledge([first.ack_id])
    queue.release([second.ack_id])
    [again] = pull(queue)
    assert (again.message_id, again.data) == (second.message_id, b"two")
    queue.acknowledge([again.ack_id])
    assert pull(queue) == []


def test_a_pull_keeps_to_its_bounds(queue: TriggerQueue) -> None:
    queue.publish_many([b"x" * 100] * 30)
    assert len(pull(queue, 7)) == 7
    assert 10 <= len(queue.pull(10, 500, WAIT_SECONDS)) <= 23


def test_what_is_no_ack_id_at_all_is_refused_in_a_sentence(queue: TriggerQueue) -> None:
    with pytest.raises(PlatformError, match="Invalid ack id") as refusal:
        queue.acknowledge(["of-another-server"])
    assert queue.subscription in str(refusal.value)


def test_a_missing_subscription_is_named_with_the_fix(
    clients: PubSubClients, config: MonitoringConfig
) -> None:
    queue = TriggerQueue(clients, config)
    with pytest.raises(PlatformError, match=r"does not exist.*terraform apply") as error:
        pull(queue)
    assert queue.subscription in str(error.value)
    with pytest.raises(PlatformError, match="does not exist"):
        queue.publish(b"lost")


def test_a_pull_whose_topic_was_deleted_says_so(
    queue: TriggerQueue, clients: PubSubClients
) -> None:
    queue.publish(b"before")
    clients.publisher.delete_topic(topic=queue.topic)
    [before] = pull(queue)
    queue.acknowledge([before.ack_id])
    # Also once there is a topic of that name again: the subscription is not one of it.
    clients.publisher.create_topic(name=queue.topic)
    with pytest.raises(PlatformError, match=r"was deleted.*terraform apply") as error:
        pull(queue)
    assert queue.topic in str(error.value)
    assert queue.subscription in str(error.value)


def test_a_deleted_topic_and_its_subscription_are_made_again(
    queue: TriggerQueue, clients: PubSubClients, caplog: pytest.LogCaptureFixture
) -> None:
    queue.publish(b"waits", {"origin": "sink"})
    clients.publisher.delete_topic(topic=queue.topic)
    with caplog.at_level(logging.WARNING):
        queue.ensure_exists()
    assert f"{queue.topic} had been deleted" in caplog.text
    queue.publish(b"new")
    found = {message.data: dict(message.attributes) for message in pull(queue)}
    assert found == {b"waits": {"origin": "sink"}, b"new": {}}
    caplog.clear()
    queue.ensure_exists()
    assert not caplog.text


def test_a_deleted_dead_letter_topic_is_made_again_with_the_letters(
    queue: TriggerQueue, clients: PubSubClients
) -> None:
    message_id = queue.publish(b"{")
    queue.publish_dead_letters([(m, "not_json", "detail") for m in pull(queue)])
    clients.publisher.delete_topic(topic=queue.dead_letter_topic)
    queue.ensure_exists()
    [letter] = queue.list_dead_letters()
    assert (letter.source_message_id, letter.reason) == (message_id, "not_json")


def test_a_subscription_of_another_topic_is_left_alone(
    queue: TriggerQueue, clients: PubSubClients
) -> None:
    clients.subscriber.delete_subscription(subscription=queue.subscription)
    clients.subscriber.create_subscription(name=queue.subscription, topic=queue.dead_letter_topic)
    with pytest.raises(PlatformError, match="name another subscription"):
        queue.ensure_exists()
