"""Publishing: what a message keeps, and what is refused."""

from __future__ import annotations

import time

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud import pubsub_v1
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace


def test_message_arrives_as_published(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    before = time.time()
    (message_id,) = pubsub.publish(
        topic,
        types.PubsubMessage(
            data=b"\x00\xff drift",
            attributes={"feature": "größe"},
            ordering_key="model",
            # Both are the server's to give.
            message_id="77-mine",
            publish_time={"seconds": 5},
        ),
    )
    (received,) = pubsub.pull(subscription)
    assert received.message.data == b"\x00\xff drift"
    assert dict(received.message.attributes) == {"feature": "größe"}
    assert received.message.ordering_key == "model"
    assert received.message.message_id == message_id != "77-mine"
    assert before - 1 <= received.message.publish_time.timestamp() <= time.time() + 1
    assert received.delivery_attempt == 0
    pubsub.publish(topic, types.PubsubMessage(attributes={"reason": "none"}))
    (received,) = pubsub.pull(subscription)
    assert (received.message.data, dict(received.message.attributes)) == (b"", {"reason": "none"})


def test_each_subscription_gets_each_message(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    first = pubsub.create_subscription(topic, "first")
    second = pubsub.create_subscription(topic, "second")
    pubsub.publish(topic, b"1", b"2", b"3")
    for name in (first, second):
        received = pubsub.pull_count(name, 3)
        assert sorted(entry.message.data for entry in received) == [b"1", b"2", b"3"]
        # An acknowledgement on one subscription leaves the other alone.
        pubsub.acknowledge(name, received)


@pytest.mark.parametrize(
    "messages",
    [
        [types.PubsubMessage()],
        [b"full", types.PubsubMessage()],
        [types.PubsubMessage(ordering_key="k")],
    ],
    ids=["alone", "second", "ordering-key"],
)
def test_empty_message_is_refused(
    pubsub: Workspace, messages: list[bytes | types.PubsubMessage]
) -> None:
    topic, subscription = pubsub.create_pair()
    with pytest.raises(InvalidArgument, match="Some messages are empty"):
        pubsub.publish(topic, *messages)
    assert pubsub.pull_now(subscription) == []


def test_request_with_no_or_too_many_messages_is_refused(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    with pytest.raises(InvalidArgument, match="No messages to publish"):
        pubsub.publish(topic)
    assert len(pubsub.publish(topic, *[b"x"] * 1000)) == 1000
    with pytest.raises(InvalidArgument, match="Too many messages to publish"):
        pubsub.publish(topic, *[b"x"] * 1001)


def test_message_of_almost_ten_megabytes(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    body = bytes(9_900_000)
    pubsub.publish(topic, body)
    (received,) = pubsub.pull(subscription)
    assert received.message.data == body


def test_message_above_ten_megabytes(pubsub: Workspace) -> None:
    topic = pubsub.create_topic()
    if pubsub.follows_documented_limits:
        with pytest.raises(InvalidArgument, match="the limit is 10000000"):
            pubsub.publish(topic, bytes(10_000_001))
    else:
        # Documented resource limit: 10 MB a publish request; the emulator takes somewhat more.
        assert len(pubsub.publish(topic, bytes(10_000_001))) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"": "value"},
        {"googclient": "value"},
        {"k" * 257: "value"},
        {"key": "v" * 1025},
        {f"key-{number}": "value" for number in range(101)},
    ],
    ids=["empty-key", "goog", "long-key", "long-value", "too-many"],
)
def test_attributes_beyond_the_limits(pubsub: Workspace, attributes: dict[str, str]) -> None:
    topic = pubsub.create_topic()
    message = types.PubsubMessage(data=b"x", attributes=attributes)
    if pubsub.follows_documented_limits:
        with pytest.raises(InvalidArgument, match=r"messages\[0\].attributes"):
            pubsub.publish(topic, message)
    else:
        # Documented resource limits of attributes; the emulator does not enforce them.
        assert len(pubsub.publish(topic, message)) == 1


def test_batching_publisher(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    futures = [
        pubsub.publisher.publish(topic, b"%d" % number, position=str(number))
        for number in range(500)
    ]
    ids = [future.result(timeout=30) for future in futures]
    received = pubsub.pull_count(subscription, 500)
    assert {
        entry.message.message_id: entry.message.attributes["position"] for entry in received
    } == {message_id: str(number) for number, message_id in enumerate(ids)}


def test_clients_by_environment_variable(
    pubsub: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, subscription = pubsub.create_pair()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.endpoint)
    publisher = pubsub_v1.PublisherClient()
    message_id = publisher.publish(topic, b"by environment").result(timeout=30)
    with pubsub_v1.SubscriberClient() as subscriber:
        response = subscriber.pull(subscription=subscription, max_messages=1, timeout=20)
        assert [entry.message.message_id for entry in response.received_messages] == [message_id]
    publisher.stop()
