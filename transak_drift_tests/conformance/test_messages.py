"""Messages: publishing, pulling, leases and acknowledgements."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import InvalidArgument
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace


def bodies(received: Sequence[types.ReceivedMessage]) -> list[bytes]:
    return sorted(entry.message.data for entry in received)


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
    names = [pubsub.create_subscription(topic, name) for name in ("first", "second")]
    pubsub.publish(topic, b"1", b"2", b"3")
    for name in names:
        received = pubsub.pull_count(name, 3)
        assert bodies(received) == [b"1", b"2", b"3"]
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


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        (bytes(10_000_001), {}),
        (b"x", {"": "value"}),
        (b"x", {"googclient": "value"}),
        (b"x", {"k" * 257: "value"}),
        (b"x", {"key": "v" * 1025}),
        (b"x", {f"key-{number}": "value" for number in range(101)}),
    ],
    ids=["body", "empty-key", "goog", "long-key", "long-value", "too-many"],
)
def test_message_beyond_the_limits(
    pubsub: Workspace, body: bytes, attributes: dict[str, str]
) -> None:
    topic = pubsub.create_topic()
    message = types.PubsubMessage(data=body, attributes=attributes)
    if pubsub.follows_documented_limits:
        with pytest.raises(InvalidArgument, match=r"limit is 10000000|messages\[0\].attributes"):
            pubsub.publish(topic, message)
    else:
        # Documented resource limits, which the emulator does not enforce.
        assert len(pubsub.publish(topic, message)) == 1


def test_waiting_pull_gets_a_message_published_meanwhile(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(pubsub.pull, subscription)
        pubsub.publish(topic, b"awaited")
        assert bodies(waiting.result()) == [b"awaited"]


def test_max_messages_is_a_bound_and_a_leased_message_is_not_delivered_again(
    pubsub: Workspace,
) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, *[b"x"] * 3)
    assert len(pubsub.pull(subscription, max_messages=2)) == 2
    assert len(pubsub.pull_now(subscription)) == 1
    # Without a message a pull answers before its deadline.
    assert pubsub.pull(subscription, timeout=2.0) == []
    with pytest.raises(InvalidArgument, match="No max_messages specified"):
        pubsub.pull(subscription, max_messages=0)


def test_acknowledged_message_is_gone(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"1", b"2")
    received = pubsub.pull_count(subscription, 2)
    done = [entry for entry in received if entry.message.data == b"1"]
    # Twice is harmless.
    pubsub.acknowledge(subscription, done + done)
    pubsub.acknowledge(subscription, done)
    pubsub.set_ack_deadline(subscription, received, 0)
    assert bodies(pubsub.pull(subscription)) == [b"2"]
    assert pubsub.pull_now(subscription) == []


def test_ack_id_of_an_earlier_delivery_has_no_effect(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"again")
    first = pubsub.pull(subscription)
    pubsub.set_ack_deadline(subscription, first, 0)
    # Of a message that was given back, an acknowledgement comes too late.
    pubsub.acknowledge(subscription, first)
    second = pubsub.pull(subscription)
    assert second[0].message == first[0].message
    assert second[0].ack_id != first[0].ack_id
    pubsub.set_ack_deadline(subscription, first, 0)
    assert pubsub.pull_now(subscription) == []
    pubsub.acknowledge(subscription, first)
    pubsub.set_ack_deadline(subscription, second, 0)
    assert bodies(pubsub.pull(subscription)) == [b"again"]


def test_message_comes_again_when_its_lease_ends_and_no_sooner(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"kept", b"short")
    received = pubsub.pull_count(subscription, 2)
    kept, short = sorted(received, key=lambda entry: entry.message.data)
    pubsub.set_ack_deadline(subscription, received, 1)
    pubsub.set_ack_deadline(subscription, [kept], 60)
    # Nothing is published: the waiting pull is woken by the end of the lease. The longer one, begun
    # at the same time, has not ended.
    again = pubsub.pull(subscription)
    assert [entry.message for entry in again] == [short.message]
    assert again[0].ack_id != short.ack_id
    assert pubsub.pull_now(subscription) == []


@pytest.mark.parametrize(
    "ack_ids", [[], ["made-up"], [""], ["1-2-\u0663"]], ids=["none", "made-up", "empty", "digit"]
)
def test_malformed_ack_ids_fail_the_whole_request(pubsub: Workspace, ack_ids: list[str]) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"kept")
    received = pubsub.pull(subscription)
    sent = [received[0].ack_id, *ack_ids] if ack_ids else []
    with pytest.raises(InvalidArgument, match=r"Invalid ack id|No ack ids specified"):
        pubsub.subscriber.acknowledge(subscription=subscription, ack_ids=sent)
    with pytest.raises(InvalidArgument, match=r"Invalid ack id|No ack ids specified"):
        pubsub.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=sent, ack_deadline_seconds=0
        )
    pubsub.set_ack_deadline(subscription, received, 0)
    assert bodies(pubsub.pull(subscription)) == [b"kept"]


def test_ack_deadline_change_out_of_bounds(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"x")
    received = pubsub.pull(subscription)
    with pytest.raises(InvalidArgument, match=r"negative|out of bounds"):
        pubsub.set_ack_deadline(subscription, received, -1)
    if pubsub.follows_documented_limits:
        with pytest.raises(InvalidArgument, match="allowed are 0 to 600"):
            pubsub.set_ack_deadline(subscription, received, 601)
    else:
        # Documented for ModifyAckDeadline: "The maximum deadline you can specify is 600 seconds".
        pubsub.set_ack_deadline(subscription, received, 601)
    assert pubsub.pull_now(subscription) == []


def test_parallel_pulls_share_the_backlog(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    count = 200
    pubsub.publish(topic, *(b"%d" % number for number in range(count)))
    everything_taken = threading.Event()
    taken: list[str] = []

    def take() -> None:
        while not everything_taken.is_set():
            found = pubsub.pull_now(subscription, max_messages=7)
            taken.extend(entry.message.message_id for entry in found)
            if not found:
                everything_taken.set()

    with ThreadPoolExecutor(8) as executor:
        for future in [executor.submit(take) for _ in range(8)]:
            future.result()
    taken.extend(entry.message.message_id for entry in pubsub.pull_now(subscription, count))
    assert len(taken) == count
    assert len(set(taken)) == count
