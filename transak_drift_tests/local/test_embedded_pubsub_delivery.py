"""The lease rules on the real storage, with a clock that the test moves."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.pubsub_v1 import types
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from transak_drift.local.pubsub_server.limits import complete_subscription
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage

TOPIC = "projects/bank/topics/drift"
DEAD_LETTER_TOPIC = "projects/bank/topics/dead-letters"
SUBSCRIPTION = "projects/bank/subscriptions/drift"
DEAD_LETTERS = "projects/bank/subscriptions/dead-letters"
START = 1_700_000_000 * MICROSECONDS


@dataclass
class Server:
    """The storage of a server, with a clock that stands still until it is moved."""

    directory: Path
    time: int = START

    def __post_init__(self) -> None:
        self.storage = Storage(self.directory / "pubsub.sqlite3", lambda: self.time)

    def move(self, seconds: float) -> None:
        self.time += round(seconds * MICROSECONDS)

    def create(self, **settings: Any) -> None:
        for topic in (TOPIC, DEAD_LETTER_TOPIC):
            self.storage.create_topic(types.Topic.pb()(name=topic))
        self.create_subscription(DEAD_LETTERS, DEAD_LETTER_TOPIC)
        self.create_subscription(SUBSCRIPTION, TOPIC, **settings)

    def create_subscription(self, name: str, topic: str, **settings: Any) -> None:
        subscription = types.Subscription.pb(types.Subscription(name=name, topic=topic, **settings))
        complete_subscription(subscription)
        self.storage.create_subscription(subscription)

    def publish(self, *bodies: bytes) -> list[str]:
        messages = [types.PubsubMessage.pb()(data=body) for body in bodies]
        return [str(message_id) for message_id in self.storage.publish(TOPIC, messages)]

    def lease(
        self, name: str = SUBSCRIPTION, max_messages: int = 1000, max_bytes: int = 10**9
    ) -> list[Any]:
        return list(self.storage.lease(name, max_messages, max_bytes).received_messages)

    def modify(self, lease: Any, seconds: int) -> None:
        self.storage.modify_ack_deadlines(SUBSCRIPTION, [lease.ack_id], seconds)

    def acknowledge(self, lease: Any) -> None:
        self.storage.acknowledge(SUBSCRIPTION, [lease.ack_id])

    def stored_messages(self) -> int:
        query = "SELECT count(*) FROM delivery"
        return self.storage.connection.execute(query).fetchone()[0]

    def close(self) -> None:
        self.storage.connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    running = Server(tmp_path)
    yield running
    running.close()


def test_given_up_message_goes_behind_the_waiting_ones_until_its_retention_ends(
    server: Server,
) -> None:
    server.create(message_retention_duration=timedelta(minutes=10))
    server.publish(b"poison")
    server.move(300)
    (good,) = server.publish(b"good")
    server.move(1)
    (poison,) = server.lease(max_messages=1)
    server.modify(poison, 0)
    order = [lease.message.data for lease in server.lease()]
    assert order == [b"good", b"poison"]
    server.move(300)
    server.storage.maintain()
    assert [lease.message.message_id for lease in server.lease()] == [good]
    assert server.stored_messages() == 1


def test_publish_times_never_fall_and_a_lease_has_bounded_bytes(server: Server) -> None:
    server.create()
    server.publish(b"first")
    server.move(-100)
    server.publish(b"second")
    server.move(100)
    times = [lease.message.publish_time.ToMicroseconds() for lease in server.lease()]
    assert times == [START, START]
    server.publish(*[bytes(1000)] * 5, bytes(9000))
    sizes = []
    while leases := server.lease(max_bytes=2500):
        sizes.append([len(lease.message.data) // 1000 for lease in leases])
    assert sizes == [[1, 1], [1, 1], [1], [9]]


def test_messages_that_nobody_waits_for_are_not_kept(server: Server) -> None:
    server.storage.create_topic(types.Topic.pb()(name=TOPIC))
    [first] = server.publish(b"nobody")
    assert server.stored_messages() == 0
    server.create_subscription(SUBSCRIPTION, TOPIC)
    assert server.publish(b"somebody") != [first]
    server.storage.delete_subscription(SUBSCRIPTION)
    assert server.stored_messages() == 0


@dataclass
class ExpectedMessage:
    """What must be true of one message."""

    available_at: int
    attempts: int = 0
    current_ack_id: str | None = None
    state: str = "waiting"


class DeliveryMachine(RuleBasedStateMachine):
    """Any order of publishing, pulling, acknowledging, giving up and waiting loses no message."""

    deadline_seconds = 10
    max_attempts = 5

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.server = Server(Path(self._directory.name))
        self.expected: dict[str, ExpectedMessage] = {}
        self.leases: list[Any] = []

    @initialize()
    def create(self) -> None:
        self.server.create(
            dead_letter_policy=types.DeadLetterPolicy(
                dead_letter_topic=DEAD_LETTER_TOPIC, max_delivery_attempts=self.max_attempts
            )
        )

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        for message_id in self.server.publish(*[b"x"] * count):
            assert message_id not in self.expected
            self.expected[message_id] = ExpectedMessage(available_at=self.server.time)

    @rule(seconds=st.sampled_from([0.5, 3, 10, 30]))
    def wait(self, seconds: float) -> None:
        self.server.move(seconds)

    @rule(max_messages=st.integers(1, 5))
    def pull(self, max_messages: int) -> None:
        due = [
            key
            for key, message in self.expected.items()
            if self.is_due(message) and message.attempts < self.max_attempts
        ]
        leases = self.server.lease(max_messages=max_messages)
        assert len(leases) == min(max_messages, len(due))
        for lease in leases:
            assert lease.message.message_id in due
            message = self.expected[lease.message.message_id]
            message.attempts += 1
            assert lease.delivery_attempt == message.attempts
            assert lease.ack_id not in {earlier.ack_id for earlier in self.leases}
            message.current_ack_id = lease.ack_id
            message.available_at = self.server.time + self.deadline_seconds * MICROSECONDS
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.server.acknowledge(lease)
        message = self.expected[lease.message.message_id]
        if message.state == "waiting" and message.current_ack_id == lease.ack_id:
            message.state = "acknowledged"

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), seconds=st.sampled_from([0, 1, 15]))
    def modify(self, data: st.DataObject, seconds: int) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.server.modify(lease, seconds)
        message = self.expected[lease.message.message_id]
        if message.state == "waiting" and message.current_ack_id == lease.ack_id:
            message.available_at = self.server.time + seconds * MICROSECONDS
            if seconds == 0:
                message.current_ack_id = None

    @rule()
    def forward_dead_letters(self) -> None:
        self.server.storage.maintain()
        for message in self.expected.values():
            if message.attempts >= self.max_attempts and self.is_due(message):
                message.state = "dead"

    @rule()
    def restart(self) -> None:
        self.server.close()
        self.server = Server(self.server.directory, self.server.time)

    def teardown(self) -> None:
        if self.expected:
            self.server.move(3600)
            self.forward_dead_letters()
            remaining = {lease.message.message_id for lease in self.server.lease()}
            dead = len(self.server.lease(DEAD_LETTERS))
            states = [message.state for message in self.expected.values()]
            assert remaining == {
                key for key, message in self.expected.items() if message.state == "waiting"
            }
            assert dead == states.count("dead")
            assert self.server.stored_messages() == states.count("waiting") + dead
        self.server.close()
        self._directory.cleanup()

    def is_due(self, message: ExpectedMessage) -> bool:
        return message.state == "waiting" and message.available_at <= self.server.time


DeliveryMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestDelivery = DeliveryMachine.TestCase
