"""Dead-letter policies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace

ATTEMPTS = 5


@pytest.fixture
def names(pubsub: Workspace) -> tuple[str, str, str]:
    """Topic, subscription with a dead-letter policy, subscription of the dead-letter topic."""
    topic = pubsub.create_topic()
    dead_letter_topic = pubsub.create_topic("dead-letters")
    dead_letters = pubsub.create_subscription(dead_letter_topic, "dead-letters")
    subscription = pubsub.create_subscription(
        topic,
        dead_letter_policy={
            "dead_letter_topic": dead_letter_topic,
            "max_delivery_attempts": ATTEMPTS,
        },
    )
    return topic, subscription, dead_letters


def fail(pubsub: Workspace, subscription: str, times: int) -> list[int]:
    """Give the next message up so many times and return the delivery attempts."""
    attempts = []
    for _ in range(times):
        (received,) = pubsub.pull(subscription, max_messages=1)
        attempts.append(received.delivery_attempt)
        pubsub.set_ack_deadline(subscription, [received], 0)
    return attempts


def test_exhausted_message_is_forwarded_with_its_origin(
    pubsub: Workspace, names: tuple[str, str, str]
) -> None:
    topic, subscription, dead_letters = names
    (message_id,) = pubsub.publish(
        topic,
        types.PubsubMessage(data=b"poison", attributes={"model": "transak-i1"}, ordering_key="k"),
    )
    (received,) = pubsub.pull(subscription)
    published = received.message.publish_time
    pubsub.set_ack_deadline(subscription, [received], 0)
    assert fail(pubsub, subscription, ATTEMPTS - 1) == [2, 3, 4, 5]
    # It holds up no other; the emulator forwards when the subscription is pulled next.
    pubsub.publish(topic, b"good")
    assert [entry.message.data for entry in pubsub.pull(subscription)] == [b"good"]
    (dead,) = pubsub.pull(dead_letters)
    attributes = dict(dead.message.attributes)
    source_time = attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert attributes == {
        "model": "transak-i1",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": subscription.rsplit("/", 1)[1],
        "CloudPubSubDeadLetterSourceSubscriptionProject": pubsub.project,
    }
    milliseconds = published.replace(microsecond=published.microsecond // 1000 * 1000)
    assert datetime.fromisoformat(source_time) == milliseconds.astimezone(UTC)
    assert dead.message.data == b"poison"
    assert dead.message.ordering_key == "k"
    assert dead.message.message_id != message_id


def test_message_is_forwarded_when_its_last_lease_ends_without_an_acknowledgement(
    pubsub: Workspace, names: tuple[str, str, str]
) -> None:
    topic, subscription, dead_letters = names
    pubsub.publish(topic, b"poison")
    pubsub.publish(topic, b"late success")
    for _ in range(ATTEMPTS - 1):
        pubsub.set_ack_deadline(subscription, pubsub.pull_count(subscription, 2), 0)
    late, poison = sorted(pubsub.pull_count(subscription, 2), key=lambda item: item.message.data)
    # The last delivery can still be acknowledged.
    pubsub.acknowledge(subscription, [late])
    pubsub.set_ack_deadline(subscription, [poison], 1)
    if not pubsub.follows_documented_limits:
        # The emulator forwards when the subscription is pulled after the lease's end; the service
        # forwards by itself.
        assert pubsub.pull(subscription, timeout=3.0) == []
    assert [entry.message.data for entry in pubsub.pull(dead_letters)] == [b"poison"]
    assert pubsub.pull_now(subscription) == pubsub.pull_now(dead_letters) == []


def test_message_stays_when_the_dead_letter_topic_is_gone(
    pubsub: Workspace, names: tuple[str, str, str]
) -> None:
    topic, subscription, _ = names
    pubsub.publish(topic, b"poison")
    pubsub.publisher.delete_topic(topic=pubsub.topic_name("dead-letters"))
    assert fail(pubsub, subscription, ATTEMPTS + 2) == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.message.data for entry in pubsub.pull(subscription)] == [b"poison"]
