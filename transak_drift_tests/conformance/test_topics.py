"""Topics: creation, names, deletion."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import AlreadyExists, InvalidArgument, NotFound
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace


def test_created_topic_is_found(pubsub: Workspace) -> None:
    name = pubsub.topic_name("drift-events")
    created = pubsub.publisher.create_topic(request={"name": name, "labels": {"team": "bank"}})
    assert created == types.Topic(name=name, labels={"team": "bank"})
    assert pubsub.publisher.get_topic(topic=name) == created
    with pytest.raises(AlreadyExists, match="Topic already exists"):
        pubsub.publisher.create_topic(name=name)


@pytest.mark.parametrize(
    "topic", ["abc", "a" * 255, "ab%c", "a.b_c~d+e%f-9"], ids=["3", "255", "percent", "marks"]
)
def test_allowed_topic_ids(pubsub: Workspace, topic: str) -> None:
    name = pubsub.create_topic(topic)
    assert pubsub.publisher.get_topic(topic=name).name == name


@pytest.mark.parametrize(
    "topic",
    ["ab", "a" * 256, "1abc", "goog-topic", "a/b", "with space", "käse", ""],
    ids=["2", "256", "digit", "goog", "slash", "space", "umlaut", "empty"],
)
def test_forbidden_topic_ids(pubsub: Workspace, topic: str) -> None:
    with pytest.raises(InvalidArgument, match=r"Invalid \[topics\] name"):
        pubsub.create_topic(topic)


@pytest.mark.parametrize("name", ["", "drift", "projects/bank/topic/drift", "topics/drift"])
def test_malformed_topic_name(pubsub: Workspace, name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"Invalid \[topics\] name"):
        pubsub.publisher.get_topic(topic=name)


def test_missing_topic_is_not_found(pubsub: Workspace) -> None:
    name = pubsub.topic_name("missing")
    with pytest.raises(NotFound, match="Topic not found"):
        pubsub.publisher.get_topic(topic=name)
    with pytest.raises(NotFound, match="Topic not found"):
        pubsub.publisher.delete_topic(topic=name)
    with pytest.raises(NotFound, match="Topic not found"):
        pubsub.publish(name, b"lost")


def test_deleted_topic_is_gone_and_may_be_created_again(pubsub: Workspace) -> None:
    name = pubsub.create_topic()
    pubsub.publisher.delete_topic(topic=name)
    with pytest.raises(NotFound):
        pubsub.publisher.get_topic(topic=name)
    assert pubsub.create_topic() == name


def test_topics_are_listed_in_pages_by_name(pubsub: Workspace) -> None:
    names = sorted(pubsub.create_topic(f"topic-{number}") for number in range(3))
    request = {"project": f"projects/{pubsub.project}", "page_size": 2}
    pages = list(pubsub.publisher.list_topics(request=request).pages)
    assert [[topic.name for topic in page.topics] for page in pages] == [names[:2], names[2:]]
    assert [bool(page.next_page_token) for page in pages] == [True, False]
    # The longer name begins with the shorter one.
    other = pubsub.publisher.list_topics(project=f"projects/{pubsub.project[:-1]}")
    assert list(other) == []


def test_subscription_outlives_its_topic(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"before")
    pubsub.publisher.delete_topic(topic=topic)
    assert pubsub.subscriber.get_subscription(subscription=subscription).topic == (
        "_deleted-topic_"
    )
    received = pubsub.pull(subscription)
    assert [entry.message.data for entry in received] == [b"before"]
    pubsub.acknowledge(subscription, received)
    pubsub.create_topic()
    pubsub.publish(topic, b"after")
    assert pubsub.pull_now(subscription) == []
