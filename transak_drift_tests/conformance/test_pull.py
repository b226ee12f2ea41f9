"""Pull, leases and acknowledgements."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import InvalidArgument, NotFound

from transak_drift_tests.conformance.workspace import Workspace


def data_of(received: list) -> list[bytes]:
    return sorted(entry.message.data for entry in received)


def test_pull_on_an_empty_subscription_answers_before_its_deadline(pubsub: Workspace) -> None:
    _, subscription = pubsub.create_pair()
    assert pubsub.pull(subscription, timeout=2.0) == []


def test_waiting_pull_gets_a_message_published_meanwhile(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(pubsub.pull, subscription)
        pubsub.publish(topic, b"awaited")
        assert data_of(waiting.result()) == [b"awaited"]


def test_max_messages_is_a_bound_and_a_leased_message_is_not_delivered_again(
    pubsub: Workspace,
) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, *[b"x"] * 3)
    assert len(pubsub.pull(subscription, max_messages=2)) == 2
    assert len(pubsub.pull_now(subscription)) == 1
    assert pubsub.pull_now(subscription) == []
    with pytest.raises(InvalidArgument, match="No max_messages specified"):
        pubsub.pull(subscription, max_messages=0)


def test_acknowledged_message_is_gone(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"1", b"2")
    received = pubsub.pull_count(subscription, 2)
    done = [entry for entry in received if entry.message.data == b"1"]
    pubsub.acknowledge(subscription, done)
    pubsub.set_ack_deadline(subscription, received, 0)
    assert data_of(pubsub.pull(subscription)) == [b"2"]
    assert pubsub.pull_now(subscription) == []


def test_acknowledging_twice_is_harmless(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"1")
    received = pubsub.pull(subscription)
    pubsub.acknowledge(subscription, received + received)
    pubsub.acknowledge(subscription, received)
    pubsub.set_ack_deadline(subscription, received, 0)
    assert pubsub.pull_now(subscription) == []


def test_negative_acknowledgement_delivers_at_once_with_another_ack_id(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"again")
    first = pubsub.pull(subscription)
    pubsub.set_ack_deadline(subscription, first, 0)
    # Of a message that was given back, an acknowledgement comes too late.
    pubsub.acknowledge(subscription, first)
    second = pubsub.pull(subscription)
    assert second[0].message == first[0].message
    assert second[0].ack_id != first[0].ack_id


def test_ack_id_of_an_earlier_delivery_has_no_effect(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"again")
    first = pubsub.pull(subscription)
    pubsub.set_ack_deadline(subscription, first, 0)
    second = pubsub.pull(subscription)
    pubsub.set_ack_deadline(subscription, first, 0)
    assert pubsub.pull_now(subscription) == []
    pubsub.acknowledge(subscription, first)
    pubsub.set_ack_deadline(subscription, second, 0)
    assert data_of(pubsub.pull(subscription)) == [b"again"]


def test_message_comes_again_when_its_lease_ends(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"again")
    first = pubsub.pull(subscription)
    pubsub.set_ack_deadline(subscription, first, 1)
    # Nothing is published: the waiting pull is woken by the end of the lease.
    second = pubsub.pull(subscription)
    assert second[0].message == first[0].message
    assert second[0].ack_id != first[0].ack_id


def test_extended_lease_holds(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"kept", b"short")
    received = pubsub.pull_count(subscription, 2)
    short = [entry for entry in received if entry.message.data == b"short"]
    pubsub.set_ack_deadline(subscription, received, 1)
    pubsub.set_ack_deadline(
        subscription, [entry for entry in received if entry.message.data == b"kept"], 60
    )
    # When the short lease has ended, the longer one, begun at the same time, has not.
    again = pubsub.pull(subscription)
    assert [entry.message for entry in again] == [entry.message for entry in short]
    assert pubsub.pull_now(subscription) == []


@pytest.mark.parametrize(
    "ack_ids", [[], ["made-up"], [""], ["1-2-\u0663"]], ids=["none", "made-up", "empty", "digit"]
)
def test_malformed_ack_ids_are_refused(pubsub: Workspace, ack_ids: list[str]) -> None:
    _, subscription = pubsub.create_pair()
    with pytest.raises(InvalidArgument, match=r"Invalid ack id|No ack ids specified"):
        pubsub.subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids)
    with pytest.raises(InvalidArgument, match=r"Invalid ack id|No ack ids specified"):
        pubsub.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=ack_ids, ack_deadline_seconds=10
        )


def test_one_malformed_ack_id_fails_the_whole_request(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"kept")
    received = pubsub.pull(subscription)
    with pytest.raises(InvalidArgument, match="Invalid ack id"):
        pubsub.subscriber.acknowledge(
            subscription=subscription, ack_ids=[received[0].ack_id, "made-up"]
        )
    pubsub.set_ack_deadline(subscription, received, 0)
    assert data_of(pubsub.pull(subscription)) == [b"kept"]


def test_ack_id_of_another_subscription_is_refused(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    other = pubsub.create_subscription(topic, "other")
    pubsub.publish(topic, b"x")
    received = pubsub.pull(subscription)
    with pytest.raises(InvalidArgument, match="received an invalid ack ID"):
        pubsub.acknowledge(other, received)


def test_acknowledging_on_a_missing_subscription(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"x")
    received = pubsub.pull(subscription)
    missing = pubsub.subscription_name("missing")
    with pytest.raises(NotFound):
        pubsub.acknowledge(missing, received)
    with pytest.raises(NotFound):
        pubsub.set_ack_deadline(missing, received, 10)


def test_ack_deadline_change_out_of_bounds(pubsub: Workspace) -> None:
    topic, subscription = pubsub.create_pair()
    pubsub.publish(topic, b"x")
    received = pubsub.pull(subscription)
    with pytest.raises(InvalidArgument, match="Ack deadline cannot be negative"):
        pubsub.set_ack_deadline(subscription, received, -1)
    if pubsub.follows_documented_limits:
        with pytest.raises(InvalidArgument, match="more than 600 seconds"):
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
