"""Subscriptions: settings, defaults, changes, lists, deletion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.api_core.exceptions import AlreadyExists, InvalidArgument, NotFound, OutOfRange
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace


def update(pubsub: Workspace, name: str, path: str, **change: Any) -> types.Subscription:
    return pubsub.subscriber.update_subscription(
        request={"subscription": {"name": name, **change}, "update_mask": {"paths": [path]}}
    )


def test_defaults_of_a_subscription(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    assert pubsub.subscriber.get_subscription(subscription=name) == types.Subscription(
        name=name,
        topic=topic,
        push_config=types.PushConfig(),
        ack_deadline_seconds=10,
        message_retention_duration=timedelta(days=7),
    )


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
        expiration_policy=types.ExpirationPolicy(ttl=timedelta(days=2)),
        dead_letter_policy=types.DeadLetterPolicy(
            dead_letter_topic=dead_letters, max_delivery_attempts=7
        ),
        retry_policy=types.RetryPolicy(
            minimum_backoff=timedelta(seconds=1), maximum_backoff=timedelta(seconds=60)
        ),
        enable_exactly_once_delivery=True,
    )
    assert pubsub.subscriber.create_subscription(request=requested) == requested
    assert pubsub.subscriber.get_subscription(subscription=requested.name) == requested


def test_subscription_is_created_once(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    with pytest.raises(AlreadyExists, match="Subscription already exists"):
        pubsub.subscriber.create_subscription(name=name, topic=topic)


def test_topic_of_a_subscription_must_exist(pubsub: Workspace) -> None:
    with pytest.raises(NotFound, match="Subscription topic does not exist"):
        pubsub.create_subscription(pubsub.topic_name("missing"))
    with pytest.raises(InvalidArgument, match=r"Invalid \[topics\] name"):
        pubsub.create_subscription("")


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


def test_default_of_delivery_attempts(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    name = pubsub.create_subscription(topic, dead_letter_policy={"dead_letter_topic": topic})
    found = pubsub.subscriber.get_subscription(subscription=name)
    assert found.dead_letter_policy.max_delivery_attempts == 5


def test_dead_letter_topic_must_exist(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    policy = {"dead_letter_topic": pubsub.topic_name("missing"), "max_delivery_attempts": 5}
    with pytest.raises(NotFound, match="Dead letter topic not found"):
        pubsub.create_subscription(topic, dead_letter_policy=policy)


def test_default_of_the_longest_backoff(pubsub: Workspace) -> None:
    _, name = pubsub.create_pair(retry_policy={"minimum_backoff": timedelta(seconds=20)})
    found = pubsub.subscriber.get_subscription(subscription=name)
    assert found.retry_policy == types.RetryPolicy(
        minimum_backoff=timedelta(seconds=20), maximum_backoff=timedelta(seconds=600)
    )


@pytest.mark.parametrize(
    ("minimum", "maximum", "reason"),
    [(20, 10, "maximum_backoff is too small"), (20, 601, "maximum_backoff is out of bounds")],
)
def test_backoff_out_of_bounds(pubsub: Workspace, minimum: int, maximum: int, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        pubsub.create_pair(
            retry_policy={
                "minimum_backoff": timedelta(seconds=minimum),
                "maximum_backoff": timedelta(seconds=maximum),
            }
        )


def test_missing_subscription_is_not_found(pubsub: Workspace) -> None:
    name = pubsub.subscription_name("missing")
    with pytest.raises(NotFound):
        pubsub.subscriber.get_subscription(subscription=name)
    with pytest.raises(NotFound):
        update(pubsub, name, "ack_deadline_seconds", ack_deadline_seconds=20)
    with pytest.raises(NotFound):
        pubsub.subscriber.delete_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.pull_now(name)


def test_settings_of_a_subscription_are_changed_one_by_one(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    policy = types.DeadLetterPolicy(dead_letter_topic=topic, max_delivery_attempts=9)
    update(pubsub, name, "ack_deadline_seconds", ack_deadline_seconds=30, labels={"not": "taken"})
    update(pubsub, name, "dead_letter_policy", dead_letter_policy=policy)
    update(
        pubsub,
        name,
        "retry_policy",
        retry_policy=types.RetryPolicy(minimum_backoff=timedelta(seconds=11)),
    )
    update(
        pubsub,
        name,
        "message_retention_duration",
        message_retention_duration=timedelta(minutes=30),
    )
    expected = types.Subscription(
        name=name,
        topic=topic,
        push_config=types.PushConfig(),
        ack_deadline_seconds=30,
        message_retention_duration=timedelta(minutes=30),
        dead_letter_policy=policy,
        retry_policy=types.RetryPolicy(
            minimum_backoff=timedelta(seconds=11), maximum_backoff=timedelta(seconds=600)
        ),
    )
    assert pubsub.subscriber.get_subscription(subscription=name) == expected


def test_policies_are_removed_by_the_mask(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    name = pubsub.create_subscription(
        topic,
        ack_deadline_seconds=30,
        dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": 9},
        retry_policy={"minimum_backoff": timedelta(seconds=11)},
    )
    update(pubsub, name, "dead_letter_policy")
    update(pubsub, name, "retry_policy")
    changed = update(pubsub, name, "ack_deadline_seconds")
    assert "retry_policy" not in changed
    assert not changed.dead_letter_policy
    assert changed.ack_deadline_seconds == 10


def test_labels_of_a_subscription_are_changed(pubsub: Workspace) -> None:
    _, name = pubsub.create_pair()
    if pubsub.follows_documented_limits:
        assert update(pubsub, name, "labels", labels={"a": "b"}).labels == {"a": "b"}
    else:
        # The service can change labels; the emulator does not know the path.
        with pytest.raises(InvalidArgument, match="labels is not a known Subscription field"):
            update(pubsub, name, "labels", labels={"a": "b"})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("colour", "colour is not a known Subscription field"),
        ("name", "the name field in the Subscription is not mutable"),
        ("topic", "the topic field in the Subscription is not mutable"),
        ("enable_message_ordering", "the enable_message_ordering field .* is not mutable"),
    ],
)
def test_bad_update_mask_of_a_subscription(pubsub: Workspace, path: str, reason: str) -> None:
    _, name = pubsub.create_pair()
    with pytest.raises(InvalidArgument, match=reason):
        update(pubsub, name, path)


def test_empty_update_mask_of_a_subscription(pubsub: Workspace) -> None:
    _, name = pubsub.create_pair()
    with pytest.raises(InvalidArgument, match="must be set"):
        pubsub.subscriber.update_subscription(
            request={"subscription": {"name": name}, "update_mask": {"paths": []}}
        )


def test_subscriptions_are_listed_in_pages_by_name(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    names = sorted(pubsub.create_subscription(topic, f"subscription-{n}") for n in range(5))
    request = {"project": f"projects/{pubsub.project}", "page_size": 3}
    pages = list(pubsub.subscriber.list_subscriptions(request=request).pages)
    assert [[entry.name for entry in page.subscriptions] for page in pages] == [
        names[:3],
        names[3:],
    ]


def test_deleted_subscription_comes_back_empty(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    pubsub.publish(topic, b"old")
    pubsub.subscriber.delete_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.pull_now(name)
    pubsub.create_subscription(topic)
    assert pubsub.pull_now(name) == []
