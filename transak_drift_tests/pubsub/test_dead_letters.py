"""Dead letters: forwarded by the thousand, listed, replayed, and never believed too much."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from google.pubsub_v1 import types
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.pubsub import trigger_queue
from transak_drift.pubsub.connection import PubSubClients, connect
from transak_drift.pubsub.dead_letters import (
    MAX_ATTRIBUTE_VALUE_BYTES,
    MAX_PUBLISH_BYTES,
    MAX_PUBLISH_MESSAGES,
    dead_letter,
    publish_batches,
)
from transak_drift.pubsub.trigger_queue import (
    MAX_DELIVERY_ATTEMPTS,
    Subscription,
    TriggerQueue,
)
from transak_drift.trigger.message import ReceivedMessage
from transak_drift_tests.pubsub.conftest import QueueInTest
from transak_drift_tests.servers.exactly_once_pubsub import ExactlyOncePubSub


def test_a_rejected_message_goes_to_the_dead_letters_whole_and_with_its_reason(
    queue: QueueInTest,
) -> None:
    message_id = queue.publish_with(b"\xff bad", {"origin": "sink", "reason": "their own"})
    queue.reject("not_utf8", "byte 0 — " + "é" * 5_000)
    assert queue.take() == []
    [letter] = queue.list_dead_letters()
    assert letter.message.data == b"\xff bad"
    assert letter.message.attributes["origin"] == "sink"
    assert (letter.reason, letter.source_message_id) == ("not_utf8", message_id)
    assert letter.detail.startswith("byte 0")
    assert len(letter.detail.encode()) <= MAX_ATTRIBUTE_VALUE_BYTES
    assert [item.source_message_id for item in queue.list_dead_letters(10)] == [message_id], (
        "looking takes nothing out"
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten megabytes may be on their way for longer than the other tests wait for a message.
    monkeypatch.setattr(trigger_queue, "_PAGE_WAIT_SECONDS", 4.0)


@pytest.mark.usefixtures("patient")
def test_a_thousand_letters_of_ten_kilobytes_pass(queue: QueueInTest) -> None:
    # Their bodies alone fit one request; with the details they do not.
    for _ in range(3):
        queue.publish_many([b"x" * 9_900] * 400)
    messages = list(queue.pull(10_000, 64_000_000, 4.0))
    assert len(messages) == 1_200
    queue.publish_dead_letters([(message, "not_json", "d" * 1_000) for message in messages])
    queue.acknowledge([message.ack_id for message in messages])
    letters = queue.list_dead_letters()
    assert {letter.source_message_id for letter in letters} == {m.message_id for m in messages}
    # Only a part of what was pulled is looked at: the rest is there at once.
    assert queue.replay_dead_letters(None, [letters[0].source_message_id]).missing == []
    assert len(queue.replay_dead_letters().published) == 1_199
    assert len(list(queue.pull(10_000, 64_000_000, 4.0))) == 1_200


@pytest.mark.usefixtures("patient")
def test_letters_whose_lease_ends_meanwhile_are_replayed_once(
    queue: QueueInTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = set(queue.publish_many([b"x"] * 1_100))
    queue.reject("not_json")
    original = Subscription.deliveries

    def deliveries(self: Subscription, *bounds: Any) -> Generator[Any]:
        first = list(islice(original(self, 4.0, 1_000), 1_000))
        yield from first
        self.release([item.ack_id for item in first])
        yield from original(self, *bounds)

    with monkeypatch.context() as patch:
        patch.setattr(Subscription, "deliveries", deliveries)
        assert len(queue.list_dead_letters()) == 1_100
        replay = queue.replay_dead_letters()
    assert len(replay.published) == 1_100
    assert {letter.source_message_id for letter in queue.list_dead_letters()} == set()
    assert len(queue.take()) == len(ids)


def test_a_message_that_fills_its_request_is_forwarded_cut(queue: QueueInTest) -> None:
    attributes = {f"{'k' * 250}-{n}": "v" * 1_024 for n in range(90)}
    room = MAX_PUBLISH_BYTES - 200 - types.PubsubMessage.pb()(attributes=attributes).ByteSize()
    queue.publish_with(b"x" * room, attributes)
    queue.publish(b"small")
    queue.reject("too_large")
    large, small = queue.list_dead_letters()
    assert (small.message.data, small.reason) == (b"small", "too_large")
    assert large.reason == "too_large"
    assert room - 5_000 < len(large.message.data) < room
    assert large.message.attributes["source_body_bytes"] == str(room)


def test_a_letter_that_is_refused_holds_up_no_other(config: MonitoringConfig) -> None:
    def attributes(number: int) -> dict[str, str]:
        return {"schema": "1"} if number % 100 == 7 else {"origin": "s"}

    messages = [ReceivedMessage(str(n), f"ack-{n}", b"body", attributes(n)) for n in range(300)]
    with ExactlyOncePubSub(refuses=lambda message: "schema" in message.attributes) as server:
        queue = TriggerQueue(connect(server.endpoint), config)
        ids = queue.publish_dead_letters([(item, "wrong_shape", "detail") for item in messages])
        published = [message for batch in server.published for message in batch]
        queue.close()
    assert len(set(ids)) == 300
    assert [m.attributes["source_message_id"] for m in published] == [str(n) for n in range(300)]
    assert {m.data for m in published} == {b"body"}
    assert sum("origin" in message.attributes for message in published) == 297
    assert len(server.requests("Publish")) < 70


def test_attributes_that_may_not_be_published_do_not_stop_a_letter() -> None:
    message = ReceivedMessage("1", "ack", b"{}", {"googclient_schemaencoding": "JSON", "a": "b"})
    letter = dead_letter(message, "wrong_shape", "detail", "projects/p/subscriptions/s")
    own = {"reason", "detail", "source_message_id", "source_subscription"}
    assert set(letter.attributes) == {"a", *own}


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 9_000_000), st.integers(0, 100), st.integers(1, 400)), max_size=12
    )
)
def test_batches_keep_to_the_limits_of_a_request(shapes: list[tuple[int, int, int]]) -> None:
    messages = [
        types.PubsubMessage.pb()(data=bytes(size), attributes={f"k{n}": "v" for n in range(count)})
        for size, count, copies in shapes
        for _ in range(copies if size < 100 else 1)
    ]
    batches = list(publish_batches(messages))
    assert [message for batch in batches for message in batch] == messages
    for batch in batches:
        request = types.PublishRequest.pb()(topic="projects/p/topics/t", messages=batch)
        assert request.ByteSize() <= MAX_PUBLISH_BYTES
        assert len(batch) <= MAX_PUBLISH_MESSAGES


def test_a_reason_of_the_publisher_is_not_believed(queue: QueueInTest) -> None:
    claims = {
        "reason": "all fine",
        "detail": "nothing to see",
        "source_message_id": "1",
        "source_subscription": queue.subscription,
    }
    queue.publish_with(b"{}", claims)
    for _ in range(MAX_DELIVERY_ATTEMPTS):
        queue.release([message.ack_id for message in queue.take(1)])
    [letter] = queue.list_dead_letters()
    assert letter.reason == "max_delivery_attempts"
    assert "forwarded by Pub/Sub" in letter.detail
    assert letter.source_message_id == letter.message.message_id
    [replayed] = queue.replay_dead_letters().published
    [message] = queue.take()
    assert message.message_id == replayed
    assert {key: message.attributes.get(key) for key in claims} == claims
    assert not any(key.startswith("CloudPubSub") for key in message.attributes)


def test_marks_of_pubsub_that_a_publisher_sets_are_not_believed(
    queue: QueueInTest, clients: PubSubClients
) -> None:
    message_id = queue.publish_with(b"{", {"CloudPubSubDeadLetterSourceDeliveryCount": "100"})
    queue.reject("not_json")
    by_hand = types.PubsubMessage(data=b"by hand", attributes={"reason": "drift"})
    clients.publisher.publish(topic=queue.dead_letter_topic, messages=[by_hand])
    rejected, unknown = queue.list_dead_letters()
    assert (rejected.reason, rejected.source_message_id) == ("not_json", message_id)
    assert unknown.reason == "unknown"
    assert unknown.publish_time <= datetime.now(UTC)


def test_a_letter_of_which_nothing_is_left_to_replay_holds_up_no_other(queue: QueueInTest) -> None:
    empty = queue.publish_with(b"", {"reason": "only this"})
    queue.publish(b"body")
    queue.reject()
    assert len(queue.replay_dead_letters().published) == 2
    found = {(message.data, *message.attributes.values()) for message in queue.take()}
    assert found == {(b"", empty), (b"body",)}
    assert queue.list_dead_letters() == []


def test_a_letter_that_cannot_be_replayed_stays_a_dead_letter(
    queue: QueueInTest, clients: PubSubClients
) -> None:
    message_id = queue.publish(b"kept")
    queue.reject()
    clients.publisher.delete_topic(topic=queue.topic)
    with pytest.raises(PlatformError, match="does not exist"):
        queue.replay_dead_letters()
    # Its lease from the attempt ends at once, or else it could not be seen for a minute.
    assert [letter.source_message_id for letter in queue.list_dead_letters()] == [message_id]
