"""The embedded Pub/Sub server as a process: durability, load, and what it refuses."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from filelock import FileLock
from google.api_core.exceptions import GoogleAPICallError, MethodNotImplemented, NotFound
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.local.pubsub_server.deliveries import Deliveries
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage, system_clock
from transak_drift_tests.conformance.workspace import Workspace


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    directory = tmp_path_factory.mktemp("server")
    with ensure_embedded_pubsub(directory, grace_seconds=1.0) as server:
        yield server.endpoint


@pytest.fixture
def pubsub(endpoint: str) -> Generator[Workspace]:
    with Workspace(endpoint) as workspace:
        yield workspace


def drain(pubsub: Workspace, subscription: str, count: int) -> list[str]:
    """Pull and acknowledge until so many messages have come; return their ids."""
    ids: list[str] = []
    while len(ids) < count:
        received = pubsub.pull(subscription, max_messages=1000)
        assert received, f"only {len(ids)} of {count} messages came"
        pubsub.acknowledge(subscription, received)
        ids.extend(entry.message.message_id for entry in received)
    return ids


def later_clock() -> int:
    """Return the time an hour ahead: every lease has ended."""
    return system_clock() + 3600 * MICROSECONDS


def test_answered_publishes_and_acknowledgements_survive_sigkill(tmp_path: Path) -> None:
    published: set[str] = set()
    sent: set[str] = set()
    acknowledged: set[str] = set()

    def work(pubsub: Workspace, topic: str, subscription: str, busy: threading.Event) -> None:
        done = 0
        with suppress(GoogleAPICallError):
            while True:
                published.update(pubsub.publish(topic, b"1", b"2", b"3"))
                received = pubsub.pull(subscription, max_messages=1)
                sent.add(received[0].message.message_id)
                pubsub.acknowledge(subscription, received)
                acknowledged.add(received[0].message.message_id)
                done += 1
                if done == 30:
                    busy.set()

    topic, subscription = "", ""
    for _ in range(2):
        with (
            ensure_embedded_pubsub(tmp_path, grace_seconds=1.0) as server,
            Workspace(server.endpoint) as pubsub,
        ):
            if not topic:
                topic, subscription = pubsub.create_pair(ack_deadline_seconds=600)
            busy = threading.Event()
            with ThreadPoolExecutor(1) as executor:
                working = executor.submit(work, pubsub, topic, subscription, busy)
                assert busy.wait(30)
                os.kill(server.process_id, signal.SIGKILL)
                working.result()
    with FileLock(tmp_path / "pubsub.sqlite3.lock", timeout=20):
        storage = Storage(tmp_path / "pubsub.sqlite3", later_clock)
        found = Deliveries(storage).lease(subscription, 10_000, 10**9).received_messages
        storage.connection.close()
    remaining = {entry.message.message_id for entry in found}
    assert len(acknowledged) >= 60
    assert remaining.isdisjoint(acknowledged)
    # An acknowledgement without an answer, at most one a crash, may or may not have been stored.
    assert len(sent - acknowledged) <= 2
    assert published - sent <= remaining


def test_backlog_of_ten_thousand_drains_in_order(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair(ack_deadline_seconds=600)
    ids = [
        message_id
        for start in range(0, 10_000, 1000)
        for message_id in pubsub.publish(topic, *(b"%d" % n for n in range(start, start + 1000)))
    ]
    assert drain(pubsub, subscription, 10_000) == ids
    assert pubsub.pull_now(subscription) == []


def test_many_waiting_pulls_do_not_hold_up_other_requests(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    idle = pubsub.create_subscription(pubsub.create_topic("idle"), "idle")
    with ThreadPoolExecutor(60) as executor:
        idlers = [executor.submit(pubsub.pull, idle, 1, 60.0) for _ in range(60)]
        pubsub.publish(topic, b"x")
        assert len(drain(pubsub, subscription, 1)) == 1
        pubsub.publish(pubsub.topic_name("idle"), *[b"x"] * 60)
        received = [future.result() for future in idlers]
    assert len({entry.ack_id for found in received for entry in found}) == 60


def test_large_backlog_fits_a_channel_with_default_limits(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    for _ in range(2):
        pubsub.publish(topic, *[bytes(900_000)] * 10)
    count = 0
    with grpc.insecure_channel(pubsub.endpoint) as channel:
        client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        while count < 20:
            response = client.pull(subscription=subscription, max_messages=1000, timeout=20)
            assert response.received_messages
            count += len(response.received_messages)
    assert count == 20


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("filter", 'attributes.model = "transak-i1"'),
        ("enable_message_ordering", True),
        ("enable_exactly_once_delivery", True),
        ("retry_policy", {"minimum_backoff": {"seconds": 20}}),
        ("push_config", {"push_endpoint": "https://example.com"}),
    ],
)
def test_unsupported_settings_are_refused_by_name(
    pubsub: Workspace, setting: str, value: Any
) -> None:
    with pytest.raises(MethodNotImplemented, match=setting):
        pubsub.create_pair(**{setting: value})
    with pytest.raises(NotFound):
        pubsub.pull_now(pubsub.subscription_name("subscription-one"))


def test_unsupported_methods_are_unimplemented(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    calls: list[Callable[[], object]] = [
        lambda: pubsub.publisher.create_topic(
            request={"name": pubsub.topic_name("secret"), "kms_key_name": "key"}
        ),
        lambda: pubsub.subscriber.seek(
            request={"subscription": subscription, "time": {"seconds": 1}}
        ),
        lambda: next(iter(pubsub.subscriber.streaming_pull(iter([])))),
        lambda: pubsub.publisher.list_topic_subscriptions(topic=topic),
    ]
    for call in calls:
        with pytest.raises(MethodNotImplemented):
            call()
