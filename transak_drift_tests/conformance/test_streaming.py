"""StreamingPull: the method itself, and the client's `subscribe`."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import InvalidArgument, NotFound, from_grpc_error
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeStatus
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1 import types

from transak_drift_tests.conformance.workspace import Workspace

_SECONDS = 20.0


class Stream:
    """One StreamingPull: requests go in one by one, messages come out one by one."""

    def __init__(self, pubsub: Workspace) -> None:
        self._requests: queue.SimpleQueue[types.StreamingPullRequest | None] = queue.SimpleQueue()
        # The client's own method waits for the first answer before it returns.
        transport: Any = pubsub.subscriber.transport
        self._call = transport.streaming_pull(iter(self._requests.get, None), timeout=_SECONDS)
        self._received: list[types.ReceivedMessage] = []

    def send(self, **request: Any) -> None:
        self._requests.put(types.StreamingPullRequest(**request))

    def next_message(self) -> types.ReceivedMessage:
        try:
            while not self._received:
                self._received.extend(next(self._call).received_messages)
        except grpc.RpcError as error:
            raise from_grpc_error(error) from error
        return self._received.pop(0)

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()


@contextmanager
def open_stream(pubsub: Workspace, subscription: str, **settings: Any) -> Generator[Stream]:
    stream = Stream(pubsub)
    try:
        stream.send(subscription=subscription, stream_ack_deadline_seconds=10, **settings)
        yield stream
    finally:
        stream.close()


def test_stream_delivers_what_is_published_meanwhile(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"before")
    with open_stream(pubsub, subscription) as stream:
        assert stream.next_message().message.data == b"before"
        pubsub.publish(topic, b"meanwhile")
        assert stream.next_message().message.data == b"meanwhile"


def test_acknowledgement_over_the_stream(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"1")
    with open_stream(pubsub, subscription, max_outstanding_messages=1) as stream:
        first = stream.next_message()
        stream.send(ack_ids=[first.ack_id])
        pubsub.publish(topic, b"2")
        # The stream may hold one message: the second comes only after the acknowledgement.
        second = stream.next_message()
        assert second.message.data == b"2"
        pubsub.set_ack_deadline(subscription, [first], 0)
        assert pubsub.pull_now(subscription) == []


def test_negative_acknowledgement_over_the_stream(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"again")
    with open_stream(pubsub, subscription) as stream:
        first = stream.next_message()
        stream.send(modify_deadline_ack_ids=[first.ack_id], modify_deadline_seconds=[0])
        second = stream.next_message()
        assert second.message == first.message
        assert second.ack_id != first.ack_id


def test_lease_that_ends_comes_again_over_the_stream(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"again")
    with open_stream(pubsub, subscription) as stream:
        first = stream.next_message()
        stream.send(modify_deadline_ack_ids=[first.ack_id], modify_deadline_seconds=[1])
        assert stream.next_message().message == first.message


def test_stream_holds_no_more_than_max_outstanding_messages(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, *(b"%d" % number for number in range(5)))
    with open_stream(pubsub, subscription, max_outstanding_messages=2) as stream:
        received = [stream.next_message(), stream.next_message()]
        if pubsub.follows_documented_limits:
            # The rest is free for others, so the stream has not taken it. The emulator leases
            # ahead of what it sends.
            others = pubsub.pull_count(subscription, 3)
            assert sorted(entry.message.data for entry in [*received, *others]) == [
                *(b"%d" % number for number in range(5))
            ]
            pubsub.set_ack_deadline(subscription, others, 0)
        while len(received) < 5:
            stream.send(ack_ids=[received[-2].ack_id])
            received.append(stream.next_message())
        assert len({entry.message.message_id for entry in received}) == 5


def test_acknowledgement_beside_the_stream_makes_room_on_it(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"1", b"2")
    with open_stream(pubsub, subscription, max_outstanding_messages=1) as stream:
        first = stream.next_message()
        pubsub.acknowledge(subscription, [first])
        assert {first.message.data, stream.next_message().message.data} == {b"1", b"2"}


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"stream_ack_deadline_seconds": 10}, "first message must set subscription"),
        ({"subscription": True}, "first message must set stream_ack_deadline_seconds"),
        ({"subscription": True, "stream_ack_deadline_seconds": 9}, "must be between 10 and 600"),
        ({"subscription": True, "stream_ack_deadline_seconds": 601}, "must be between 10 and 600"),
    ],
)
def test_bad_first_request(pubsub: Workspace, request_fields: dict[str, Any], reason: str) -> None:
    _, subscription = pubsub.create_pair()
    if "subscription" in request_fields:
        request_fields = {**request_fields, "subscription": subscription}
    stream = Stream(pubsub)
    stream.send(**request_fields)
    with pytest.raises(InvalidArgument, match=reason):
        stream.next_message()
    stream.close()


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"subscription": "projects/p/subscriptions/sub"}, "only be set in first message"),
        ({"ack_ids": ["made-up"]}, "Invalid ack id"),
        ({"modify_deadline_ack_ids": ["made-up"]}, "must have the same size"),
    ],
)
def test_bad_later_request(pubsub: Workspace, request_fields: dict[str, Any], reason: str) -> None:
    _, subscription = pubsub.create_pair()
    with open_stream(pubsub, subscription) as stream:
        stream.send(**request_fields)
        with pytest.raises(InvalidArgument, match=reason):
            stream.next_message()


def test_stream_on_a_missing_subscription(pubsub: Workspace) -> None:
    with (
        open_stream(pubsub, pubsub.subscription_name("missing")) as stream,
        pytest.raises(NotFound),
    ):
        stream.next_message()


def test_stream_ends_when_its_subscription_is_deleted(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"x")
    with open_stream(pubsub, subscription) as stream:
        stream.next_message()
        with ThreadPoolExecutor(1) as executor:
            waiting = executor.submit(stream.next_message)
            pubsub.subscriber.delete_subscription(subscription=subscription)
            with pytest.raises(NotFound):
                waiting.result()


def test_subscribe_receives_and_acknowledges(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    count = 300
    bodies: list[bytes] = []
    lock = threading.Lock()
    complete = threading.Event()

    def handle(message: Message) -> None:
        message.ack()
        with lock:
            bodies.append(message.data)
            if len(bodies) >= count:
                complete.set()

    for number in range(count):
        pubsub.publisher.publish(topic, b"%d" % number)
    future = pubsub.subscriber.subscribe(subscription, callback=handle)
    assert complete.wait(_SECONDS)
    future.cancel()
    future.result(timeout=_SECONDS)
    assert sorted(bodies) == sorted(b"%d" % number for number in range(count))


def test_subscribe_with_flow_control_and_a_negative_acknowledgement(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    attempts: dict[bytes, int] = {}
    lock = threading.Lock()
    complete = threading.Event()

    def handle(message: Message) -> None:
        with lock:
            attempts[message.data] = attempts.get(message.data, 0) + 1
            first = attempts[message.data] == 1
            if len(attempts) == 10 and all(attempts[body] >= 2 for body in attempts):
                complete.set()
        if first:
            message.nack()
        else:
            message.ack()

    pubsub.publish(topic, *(b"%d" % number for number in range(10)))
    future = pubsub.subscriber.subscribe(
        subscription,
        callback=handle,
        flow_control=pubsub_v1.types.FlowControl(max_messages=3),
    )
    assert complete.wait(_SECONDS)
    future.cancel()
    future.result(timeout=_SECONDS)
    assert set(attempts.values()) == {2}


def test_subscribe_with_exactly_once_delivery_acknowledges_with_a_response(
    pubsub: Workspace,
) -> None:
    topic, subscription = pubsub.create_pair(enable_exactly_once_delivery=True)
    pubsub.publish(topic, b"once")
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()

    def handle(message: Message) -> None:
        message.ack_with_response().add_done_callback(lambda done: answers.put(done.result()))

    future = pubsub.subscriber.subscribe(subscription, callback=handle)
    answer = answers.get(timeout=_SECONDS)
    future.cancel()
    future.result(timeout=_SECONDS)
    assert answer == AcknowledgeStatus.SUCCESS
    assert pubsub.pull_now(subscription) == []
