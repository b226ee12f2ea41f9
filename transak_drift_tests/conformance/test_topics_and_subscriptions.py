"""Topics and subscriptions: names, settings, lists, deletion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
    OutOfRange,
)
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace


def test_created_topic_is_found(pubsub: Workspace) -> None:
    name = pubsub.topic_name("drift-events")
    created = pubsub.publisher.create_topic(request={"name": name, "labels": {"team": "bank"}})
    assert created == types.Topic(name=name, labels={"team": "bank"})
    assert pubsub.publisher.get_topic(topic=name) == created
    with pytest.raises(AlreadyExists, match="Topic already exists"):
        pubsub.publisher.create_topic(name=name)


def test_ids(pubsub: Workspace) -> None:
    for topic in ("abc", "a" * 255, "ab%c", "a.b_c~d+e%f-9"):
        name = pubsub.create_topic(topic)
        assert pubsub.publisher.get_topic(topic=name).name == name
    for topic in ("ab", "a" * 256, "1abc", "goog-topic", "a/b", "with space", "käse", ""):
        with pytest.raises(InvalidArgument, match=r"Invalid \[topics\] name"):
            pubsub.create_topic(topic)
    with pytest.raises(InvalidArgument, match=r"Invalid \[subscriptions\] name"):
        pubsub.create_subscription(name, "1subscription")


def test_what_is_missing_is_not_found(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"x")
    received = pubsub.pull(subscription)
    topic, name = pubsub.topic_name("missing"), pubsub.subscription_name("missing")
    calls: dict[Callable[[], object], str] = {
        lambda: pubsub.publisher.get_topic(topic=topic): "Topic not found",
        lambda: pubsub.publisher.delete_topic(topic=topic): "Topic not found",
        lambda: pubsub.publish(topic, b"lost"): "Topic not found",
        lambda: pubsub.create_subscription(topic, "two"): "Subscription topic does not exist",
        lambda: pubsub.create_subscription(
            pubsub.topic_name("topic-one"), "two", dead_letter_policy={"dead_letter_topic": topic}
        ): "Dead letter topic not found",
        lambda: pubsub.subscriber.get_subscription(subscription=name): "",
        lambda: pubsub.subscriber.delete_subscription(subscription=name): "",
        lambda: pubsub.pull_now(name): "",
        lambda: pubsub.acknowledge(name, received): "",
        lambda: pubsub.set_ack_deadline(name, received, 10): "",
    }
    for call, told in calls.items():
        with pytest.raises(NotFound, match=told or None):
            call()


def test_defaults_of_a_subscription(pubsub: Workspace) -> None:
    topic, name = pubsub.create_pair()
    assert pubsub.subscriber.get_subscription(subscription=name) == types.Subscription(
        name=name,
        topic=topic,
        push_config=types.PushConfig(),
        ack_deadline_seconds=10,
        message_retention_duration=timedelta(days=7),
    )
    with pytest.raises(AlreadyExists, match="Subscription already exists"):
        pubsub.subscriber.create_subscription(name=name, topic=topic)
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


def test_settings_out_of_bounds(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    for setting, values in {
        "ack_deadline_seconds": (-1, 601),
        "message_retention_duration": (timedelta(seconds=5), timedelta(days=40)),
        "max_delivery_attempts": (4, 101),
    }.items():
        for value in values:
            settings: dict[str, Any] = {setting: value}
            if setting == "max_delivery_attempts":
                settings = {"dead_letter_policy": {"dead_letter_topic": topic, **settings}}
            told = setting.removesuffix("_seconds")
            with pytest.raises((InvalidArgument, OutOfRange), match=told):
                pubsub.create_subscription(topic, **settings)


@pytest.mark.parametrize("kind", ["topics", "subscriptions"])
def test_lists_come_in_pages_by_name(pubsub: Workspace, kind: str) -> None:
    topics = sorted(pubsub.create_topic(f"topic-{number}") for number in range(3))
    names, method = topics, pubsub.publisher.list_topics
    if kind == "subscriptions":
        names = sorted(pubsub.create_subscription(topics[0], f"one-{n}") for n in range(3))
        method = pubsub.subscriber.list_subscriptions
    request = {"project": f"projects/{pubsub.project}", "page_size": 2}
    pages = list(method(request=request).pages)
    assert [[item.name for item in getattr(page, kind)] for page in pages] == [names[:2], names[2:]]
    assert [bool(page.next_page_token) for page in pages] == [True, False]
    # The longer name begins with the shorter one.
    assert list(method(project=f"projects/{pubsub.project[:-1]}")) == []


def test_deleted_subscription_comes_back_empty_and_one_outlives_its_topic(
    pubsub: Workspace,
) -> None:
    topic, name = pubsub.create_pair()
    pubsub.publish(topic, b"old")
    pubsub.subscriber.delete_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.pull_now(name)
    pubsub.create_subscription(topic)
    pubsub.publish(topic, b"before")
    pubsub.publisher.delete_topic(topic=topic)
    with pytest.raises(NotFound):
        pubsub.publisher.get_topic(topic=topic)
    found = pubsub.subscriber.get_subscription(subscription=name)
    assert found.topic == "_deleted-topic_"
    received = pubsub.pull(name)
    assert [entry.message.data for entry in received] == [b"before"]
    pubsub.acknowledge(name, received)
    assert pubsub.create_topic() == topic
    pubsub.publish(topic, b"after")
    assert pubsub.pull_now(name) == []


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_what_the_embedded_server_does_not_support_is_refused_by_name(pubsub: Workspace) -> None:
    settings: dict[str, Any] = {
        "filter": 'attributes.model = "transak-i1"',
        "enable_message_ordering": True,
        "enable_exactly_once_delivery": True,
        "retry_policy": {"minimum_backoff": {"seconds": 20}},
        "push_config": {"push_endpoint": "https://example.com"},
    }
    for setting, value in settings.items():
        with pytest.raises(MethodNotImplemented, match=setting):
            pubsub.create_subscription(pubsub.topic_name("topic-one"), **{setting: value})
    with pytest.raises(NotFound):
        pubsub.pull_now(pubsub.subscription_name("subscription-one"))
    topic, subscription = pubsub.create_pair()
    secret = {"name": pubsub.topic_name("secret"), "kms_key_name": "key"}
    seek = {"subscription": subscription, "time": {"seconds": 1}}
    calls: list[Callable[[], object]] = [
        lambda: pubsub.publisher.create_topic(request=secret),
        lambda: pubsub.subscriber.seek(request=seek),
        lambda: next(iter(pubsub.subscriber.streaming_pull(iter([])))),
        lambda: pubsub.publisher.list_topic_subscriptions(topic=topic),
    ]
    for call in calls:
        with pytest.raises(MethodNotImplemented):
            call()
