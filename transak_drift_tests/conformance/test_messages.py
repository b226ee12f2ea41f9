"""Messages: publishing, pulling, leases and acknowledgements."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.api_core.exceptions import InvalidArgument
from google.pubsub_v1 import SubscriberClient, types
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transak_drift_tests.conformance.workspace import Workspace


def bodies(received: Sequence[types.ReceivedMessage]) -> list[bytes]:
    return sorted(entry.message.data for entry in received)


def test_message_arrives_as_published(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    other = pubsub.create_subscription(topic, "other")
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
    # Each subscription gets each message, whatever is acknowledged on another.
    pubsub.acknowledge(other, pubsub.pull(other))
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


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([types.PubsubMessage()], "Some messages are empty"),
        ([b"full", types.PubsubMessage(ordering_key="k")], "Some messages are empty"),
        ([], "No messages to publish"),
        ([b"x"] * 1001, "Too many messages to publish"),
    ],
    ids=["empty", "ordering-key", "none", "too-many"],
)
def test_request_with_an_empty_message_or_none_or_too_many_is_refused_whole(
    pubsub: Workspace, messages: list[bytes | types.PubsubMessage], told: str
) -> None:
    topic, subscription = pubsub.create_pair()
    with pytest.raises(InvalidArgument, match=told):
        pubsub.publish(topic, *messages)
    assert pubsub.pull_now(subscription) == []


def test_message_of_almost_ten_megabytes_and_messages_beyond_the_limits(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    large = bytes(9_900_000)
    pubsub.publish(topic, large)
    (received,) = pubsub.pull(subscription)
    assert received.message.data == large
    bodies_and_attributes = [
        (bytes(10_000_001), {}),
        *[(b"x", {key: "value"}) for key in ("", "googclient", "k" * 257)],
        (b"x", {"key": "v" * 1025}),
        (b"x", {f"key-{number}": "value" for number in range(101)}),
    ]
    for body, attributes in bodies_and_attributes:
        message = types.PubsubMessage(data=body, attributes=attributes)
        if pubsub.follows_documented_limits:
            told = r"limit is 10000000|messages\[0\].attributes"
            with pytest.raises(InvalidArgument, match=told):
                pubsub.publish(topic, message)
        else:
            # Documented resource limits, which the emulator does not enforce.
            assert len(pubsub.publish(topic, message)) == 1


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


def test_acknowledged_message_is_gone_and_an_earlier_ack_id_has_no_effect(
    pubsub: Workspace,
) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"done", b"again")
    received = pubsub.pull_count(subscription, 2)
    again, done = sorted(received, key=lambda entry: entry.message.data)
    # Twice is harmless.
    pubsub.acknowledge(subscription, [done, done])
    pubsub.acknowledge(subscription, [done])
    pubsub.set_ack_deadline(subscription, received, 0)
    # Of a message that was given back, an acknowledgement comes too late.
    pubsub.acknowledge(subscription, [again])
    (second,) = pubsub.pull(subscription)
    assert second.message == again.message
    assert second.ack_id != again.ack_id
    pubsub.set_ack_deadline(subscription, [again], 0)
    assert pubsub.pull_now(subscription) == []
    pubsub.acknowledge(subscription, [again])
    pubsub.set_ack_deadline(subscription, [second], 0)
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


def test_malformed_ack_ids_fail_the_whole_request(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"kept")
    received = pubsub.pull(subscription)
    for added in ("made-up", "", "1-2-\u0663", None):
        request = {
            "subscription": subscription,
            "ack_ids": [] if added is None else [received[0].ack_id, added],
        }
        with pytest.raises(InvalidArgument, match=r"Invalid ack id|No ack ids specified"):
            pubsub.subscriber.acknowledge(request=request)
        with pytest.raises(InvalidArgument, match=r"Invalid ack id|No ack ids specified"):
            pubsub.subscriber.modify_ack_deadline(request={**request, "ack_deadline_seconds": 0})
    with pytest.raises(InvalidArgument, match=r"negative|out of bounds"):
        pubsub.set_ack_deadline(subscription, received, -1)
    if pubsub.follows_documented_limits:
        # Documented for ModifyAckDeadline; the emulator takes it.
        with pytest.raises(InvalidArgument, match="allowed are 0 to 600"):
            pubsub.set_ack_deadline(subscription, received, 601)
    pubsub.set_ack_deadline(subscription, received, 0)
    assert bodies(pubsub.pull(subscription)) == [b"kept"]


def test_parallel_pulls_share_the_backlog(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    published = pubsub.publish(topic, *(b"%d" % number for number in range(200)))

    def take(_: int) -> list[types.ReceivedMessage]:
        return pubsub.pull_count(subscription, 25)

    with ThreadPoolExecutor(8) as executor:
        taken = [entry for found in executor.map(take, range(8)) for entry in found]
    assert sorted(entry.message.message_id for entry in taken) == sorted(published)


def test_a_backlog_drains_in_order(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair(ack_deadline_seconds=600)
    published = [
        message_id
        for start in range(0, 3000, 1000)
        for message_id in pubsub.publish(topic, *(b"%d" % n for n in range(start, start + 1000)))
    ]
    received = pubsub.pull_count(subscription, 3000)
    assert [entry.message.message_id for entry in received] == published
    for start in range(0, 3000, 1000):
        pubsub.acknowledge(subscription, received[start : start + 1000])
    assert pubsub.pull_now(subscription) == []


def test_many_waiting_pulls_do_not_hold_up_other_requests(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    idle = pubsub.create_subscription(pubsub.create_topic("idle"), "idle")
    with ThreadPoolExecutor(30) as executor:
        idlers = [executor.submit(pubsub.pull, idle, 1, 60.0) for _ in range(30)]
        pubsub.publish(topic, b"x")
        assert len(pubsub.pull(subscription)) == 1
        pubsub.publish(pubsub.topic_name("idle"), *[b"x"] * 30)
        received = [future.result() for future in idlers]
    assert len({entry.ack_id for found in received for entry in found}) == 30


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_large_backlog_fits_a_channel_with_default_limits(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, *[bytes(900_000)] * 10)
    count = 0
    with grpc.insecure_channel(pubsub.endpoint) as channel:
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        while count < 10:
            response = client.pull(subscription=subscription, max_messages=1000, timeout=20)
            assert response.received_messages
            count += len(response.received_messages)
    assert count == 10
