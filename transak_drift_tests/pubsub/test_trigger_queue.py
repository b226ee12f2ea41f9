"""The trigger queue on the real client and the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core import exceptions

from transak_drift.config.monitoring_config import MonitoringConfig, load_config
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import (
    LARGEST_BODY,
    LONGEST_ATTRIBUTE,
    MOST_ATTRIBUTES,
    TriggerQueue,
)
from transak_drift.trigger.message import ReceivedMessage

CONFIG = load_config(Path(__file__).parents[2] / "monitoring_config.json")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ensure_embedded_pubsub(tmp_path_factory.mktemp("pubsub"), grace_seconds=1.0) as server:
        yield server.endpoint


@pytest.fixture
def queue(endpoint: str, request: pytest.FixtureRequest) -> Iterator[TriggerQueue]:
    topic = f"topic-of-{request.node.name.replace('_', '-')}"[:120]
    config = MonitoringConfig.model_validate(
        {
            **CONFIG.model_dump(
                include={
                    "project_id",
                    "location",
                    "model_name",
                    "monitoring_job_display_name",
                    "notification_channels",
                    "drift_thresholds",
                    "log_anomalies",
                }
            ),
            "trigger_topic": topic,
        }
    )
    queue = TriggerQueue(connect(endpoint), config)
    queue.ensure_exists()
    yield queue
    queue.close()


def pull(queue: TriggerQueue, most: int = 1_000) -> list[ReceivedMessage]:
    return queue.pull(most, 64_000_000, 2.0)


def test_making_what_exists_changes_nothing(queue: TriggerQueue) -> None:
    queue.publish(b"kept")
    queue.ensure_exists()
    assert [message.data for message in pull(queue)] == [b"kept"]


def test_what_is_acknowledged_is_gone_and_the_rest_comes_again(queue: TriggerQueue) -> None:
    queue.publish_many([b"one", b"two"])
    first, second = sorted(pull(queue), key=lambda message: message.data)
    queue.acknowledge([first.ack_id])
    queue.extend([second.ack_id], 0)
    [again] = pull(queue)
    assert (again.message_id, again.data) == (second.message_id, b"two")
    queue.acknowledge([again.ack_id])
    assert pull(queue) == []


def test_a_pull_keeps_to_its_bounds(queue: TriggerQueue) -> None:
    queue.publish_many([b"x" * 100] * 30)
    assert len(pull(queue, 7)) == 7
    assert 10 <= len(queue.pull(10, 500, 2.0)) <= 23


def test_an_ack_id_the_server_does_not_know_does_not_spoil_the_others(queue: TriggerQueue) -> None:
    queue.publish_many([b"one", b"two", b"three"])
    ack_ids = [message.ack_id for message in pull(queue)]
    queue.extend(["of-another-server", *ack_ids], 60)
    queue.acknowledge([ack_ids[0], "of-another-server", *ack_ids[1:], ""])
    queue.extend(ack_ids, 0)
    assert pull(queue) == []


def test_a_rejected_message_goes_to_the_dead_letters_whole_and_with_its_reason(
    queue: TriggerQueue,
) -> None:
    message_id = queue.publish(b"\xff bad", {"origin": "sink", "reason": "their own"})
    [message] = pull(queue)
    queue.forward_to_dead_letters([(message, "not_utf8", "byte 0 — " + "é" * 5_000)])
    assert pull(queue) == []
    [letter] = queue.list_dead_letters(10)
    assert letter.message.data == b"\xff bad"
    assert letter.message.attributes["origin"] == "sink"
    assert (letter.reason, letter.source_message_id) == ("not_utf8", message_id)
    assert letter.detail.startswith("byte 0")
    assert len(letter.detail.encode()) <= LONGEST_ATTRIBUTE
    assert [item.source_message_id for item in queue.list_dead_letters(10)] == [message_id], (
        "looking takes nothing out"
    )


def test_a_dead_letter_with_as_many_attributes_as_can_be_still_gets_its_reason(
    queue: TriggerQueue,
) -> None:
    queue.publish(b"{}", {f"key-{n}": "value" for n in range(MOST_ATTRIBUTES)})
    [message] = pull(queue)
    queue.forward_to_dead_letters([(message, "wrong_shape", "detail")])
    [letter] = queue.list_dead_letters(10)
    assert letter.reason == "wrong_shape"
    assert len(letter.message.attributes) == MOST_ATTRIBUTES


def test_the_largest_message_can_be_forwarded(queue: TriggerQueue) -> None:
    queue.publish(b"x" * LARGEST_BODY)
    [message] = pull(queue)
    queue.forward_to_dead_letters([(message, "too_large", "detail")])
    [letter] = queue.list_dead_letters(10)
    assert len(letter.message.data) == LARGEST_BODY


def test_replay_takes_a_dead_letter_out_and_publishes_what_it_was(queue: TriggerQueue) -> None:
    kept, replayed = (queue.publish(body, {"origin": "sink"}) for body in (b"kept", b"replayed"))
    queue.forward_to_dead_letters([(m, "not_json", "detail") for m in pull(queue)])
    assert len(queue.replay_dead_letters(10, [replayed])) == 1
    [message] = pull(queue)
    assert (message.data, dict(message.attributes)) == (b"replayed", {"origin": "sink"})
    assert [letter.source_message_id for letter in queue.list_dead_letters(10)] == [kept]


def test_a_missing_subscription_is_an_error(queue: TriggerQueue) -> None:
    queue.subscription += "-missing"
    with pytest.raises(exceptions.NotFound, match="missing"):
        pull(queue)
