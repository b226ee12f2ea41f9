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
from google.cloud import pubsub_v1
from google.pubsub_v1 import types
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.local.pubsub_server.deliveries import Deliveries
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage, system_clock
from transak_drift_tests.conformance.workspace import Workspace

# It shows without a wait that nothing is due.
pytestmark = pytest.mark.filterwarnings("ignore:The return_immediately flag:DeprecationWarning")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    directory = tmp_path_factory.mktemp("server")
    with ensure_embedded_pubsub(directory, grace_seconds=1.0) as server:
        yield server.endpoint


@pytest.fixture
def pubsub(endpoint: str) -> Generator[Workspace]:
    workspace = Workspace(endpoint, follows_documented_limits=True)
    yield workspace
    workspace.close()


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
                pubsub.subscriber.acknowledge(
                    subscription=subscription, ack_ids=[received[0].ack_id], retry=None
                )
                acknowledged.add(received[0].message.message_id)
                done += 1
                if done == 30:
                    busy.set()

    topic, subscription = "", ""
    for _ in range(2):
        with ensure_embedded_pubsub(tmp_path, grace_seconds=1.0) as server:
            pubsub = Workspace(server.endpoint, follows_documented_limits=True)
            if not topic:
                topic, subscription = pubsub.create_pair(ack_deadline_seconds=600)
            busy = threading.Event()
            with ThreadPoolExecutor(1) as executor:
                working = executor.submit(work, pubsub, topic, subscription, busy)
                assert busy.wait(30)
                os.kill(server.process_id, signal.SIGKILL)
                working.result()
            pubsub.close()
    with FileLock(tmp_path / "pubsub.sqlite3.lock", timeout=20):
        storage = Storage(tmp_path / "pubsub.sqlite3", later_clock)
        _, leases, _ = Deliveries(storage).lease(subscription, 10_000, 10**9)
        storage.close()
    remaining = {str(lease.message_id) for lease in leases}
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
    for _ in range(4):
        pubsub.publish(topic, *[bytes(900_000)] * 10)
    channel = grpc.insecure_channel(pubsub.endpoint)
    client = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    count = 0
    while count < 40:
        response = client.pull(subscription=subscription, max_messages=1000, timeout=20)
        assert response.received_messages
        count += len(response.received_messages)
    channel.close()
    assert count == 40


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("filter", 'attributes.model = "transak-i1"'),
        ("enable_message_ordering", True),
        ("enable_exactly_once_delivery", True),
        ("retain_acked_messages", True),
        ("retry_policy", {"minimum_backoff": {"seconds": 20}}),
        ("expiration_policy", {"ttl": {"seconds": 86_400}}),
        ("push_config", {"push_endpoint": "https://example.com"}),
        ("bigquery_config", {"table": "a.b.c"}),
        ("detached", True),
    ],
)
def test_unsupported_settings_are_refused_by_name(
    pubsub: Workspace, setting: str, value: Any
) -> None:
    with pytest.raises(MethodNotImplemented, match=setting):
        pubsub.create_pair(**{setting: value})
    with pytest.raises(NotFound):
        pubsub.pull_now(pubsub.subscription_name("subscription-one"))
    if setting == "filter":
        name = pubsub.topic_name("secret")
        with pytest.raises(MethodNotImplemented, match="kms_key_name"):
            pubsub.publisher.create_topic(request={"name": name, "kms_key_name": "key"})


def test_unsupported_methods_are_unimplemented(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    streaming = types.StreamingPullRequest(
        subscription=subscription, stream_ack_deadline_seconds=10
    )
    calls: list[Callable[[], object]] = [
        lambda: pubsub.subscriber.create_snapshot(
            name=f"projects/{pubsub.project}/snapshots/one", subscription=subscription
        ),
        lambda: pubsub.subscriber.seek(
            request={"subscription": subscription, "time": {"seconds": 1}}
        ),
        lambda: pubsub.subscriber.update_subscription(
            request={
                "subscription": {"name": subscription, "ack_deadline_seconds": 20},
                "update_mask": {"paths": ["ack_deadline_seconds"]},
            }
        ),
        lambda: next(iter(pubsub.subscriber.streaming_pull(iter([streaming])))),
        lambda: pubsub.publisher.detach_subscription(request={"subscription": subscription}),
        lambda: pubsub.publisher.list_topic_subscriptions(topic=topic),
    ]
    for call in calls:
        with pytest.raises(MethodNotImplemented):
            call()
