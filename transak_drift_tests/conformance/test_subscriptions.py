"""Subscriptions: settings, defaults, deletion."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core.exceptions import AlreadyExists, InvalidArgument, NotFound, OutOfRange
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace


def test_defaults_of_a_subscription(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    assert pubsub.subscriber.get_subscription(subscription=name) == types.Subscription(
        name=name,
        topic=topic,
        push_config=types.PushConfig(),
        ack_deadline_seconds=10,
        message_retention_duration=timedelta(days=7),
    )
    name = pubsub.create_subscription(topic, "two", dead_letter_policy={"dead_letter_topic": topic})
    found = pubsub.subscriber.get_subscription(subscription=name)
    assert found.dead_letter_policy.max_delivery_attempts == 5


def test_settings_of_a_subscription_are_kept(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    dead_letters = pubsub.create_topic("dead-letters")
    requested = types.Subscription(
        name=pubsub.subscription_name("full"),
        topic=topic,
        push_config=types.PushConfig(),
        ack_deadline_seconds=600,
        message_retention_duration=timedelta(minutes=20),
        labels={"team": "bank"},
        dead_letter_policy=types.DeadLetterPolicy(
            dead_letter_topic=dead_letters, max_delivery_attempts=7
        ),
    )
    assert pubsub.subscriber.create_subscription(request=requested) == requested
    assert pubsub.subscriber.get_subscription(subscription=requested.name) == requested


def test_subscription_is_created_once(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    with pytest.raises(AlreadyExists, match="Subscription already exists"):
        pubsub.subscriber.create_subscription(name=name, topic=topic)


def test_malformed_subscription_name(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    with pytest.raises(InvalidArgument, match=r"Invalid \[subscriptions\] name"):
        pubsub.create_subscription(topic, "1subscription")
    with pytest.raises(InvalidArgument, match=r"Invalid \[subscriptions\] name"):
        pubsub.subscriber.get_subscription(subscription="subscription")


@pytest.mark.parametrize("seconds", [-1, 601])
def test_ack_deadline_out_of_bounds(pubsub: Workspace, seconds: int) -> None:
    with pytest.raises(InvalidArgument, match="ack_deadline"):
        pubsub.create_pair(ack_deadline_seconds=seconds)


def test_ack_deadline_below_ten_seconds(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    if pubsub.follows_documented_limits:
        with pytest.raises(InvalidArgument, match="ack_deadline_seconds must be between 10 and"):
            pubsub.create_subscription(topic, ack_deadline_seconds=9)
    else:
        # Documented: "The minimum deadline is 10 seconds"; the emulator takes less.
        name = pubsub.create_subscription(topic, ack_deadline_seconds=9)
        found = pubsub.subscriber.get_subscription(subscription=name)
        assert found.ack_deadline_seconds == 9


@pytest.mark.parametrize("seconds", [5, 40 * 86_400])
def test_retention_out_of_bounds(pubsub: Workspace, seconds: int) -> None:
    with pytest.raises(InvalidArgument, match="message_retention_duration out of bounds"):
        pubsub.create_pair(message_retention_duration=timedelta(seconds=seconds))


@pytest.mark.parametrize(("attempts", "reason"), [(4, "too small"), (101, "too large")])
def test_delivery_attempts_out_of_bounds(pubsub: Workspace, attempts: int, reason: str) -> None:
    topic = pubsub.create_topic()
    with pytest.raises(OutOfRange, match=f"max_delivery_attempts is {reason}"):
        pubsub.create_subscription(
            topic,
            dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": attempts},
        )


def test_topics_of_a_subscription_must_exist(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    with pytest.raises(NotFound, match="Subscription topic does not exist"):
        pubsub.create_subscription(pubsub.topic_name("missing"))
    with pytest.raises(InvalidArgument, match=r"Invalid \[topics\] name"):
        pubsub.create_subscription("")
    policy = {"dead_letter_topic": pubsub.topic_name("missing"), "max_delivery_attempts": 5}
    with pytest.raises(NotFound, match="Dead letter topic not found"):
        pubsub.create_subscription(topic, dead_letter_policy=policy)


def test_missing_subscription_is_not_found(pubsub: Workspace) -> None:
    name = pubsub.subscription_name("missing")
    with pytest.raises(NotFound):
        pubsub.subscriber.get_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.subscriber.delete_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.pull_now(name)


def test_subscriptions_are_listed_in_pages_by_name(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    names = sorted(pubsub.create_subscription(topic, f"subscription-{n}") for n in range(3))
    request = {"project": f"projects/{pubsub.project}", "page_size": 2}
    pages = list(pubsub.subscriber.list_subscriptions(request=request).pages)
    assert [[entry.name for entry in page.subscriptions] for page in pages] == [
        names[:2],
        names[2:],
    ]


def test_deleted_subscription_comes_back_empty(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    pubsub.publish(topic, b"old")
    pubsub.subscriber.delete_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.pull_now(name)
    pubsub.create_subscription(topic)
    assert pubsub.pull_now(name) == []
