"""Subscriptions with exactly-once delivery, which refuse ack ids that have expired."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift_tests.servers.exactly_once_pubsub import ExactlyOncePubSub

# What the documentation does not say: every answer is tried.
ANSWERS = pytest.mark.parametrize("settles_unnamed", [True, False], ids=["settled", "unsettled"])
TWICE = pytest.mark.parametrize("settles_twice", [True, False], ids=["taken", "refused-again"])


@contextmanager
def queue_of(server: ExactlyOncePubSub, config: MonitoringConfig) -> Generator[TriggerQueue]:
    with server:
        queue = TriggerQueue(connect(server.endpoint), config)
        yield queue
        queue.close()


@ANSWERS
@TWICE
def test_expired_ack_ids_spoil_no_others(
    config: MonitoringConfig, settles_unnamed: bool, settles_twice: bool
) -> None:
    server = ExactlyOncePubSub(settles_unnamed=settles_unnamed, settles_twice=settles_twice)
    server.add_messages([b"%d" % number for number in range(2_500)])
    with queue_of(server, config) as queue:
        messages = list(queue.pull(2_500, 64_000_000, 2.0))
        assert len(messages) == 2_500
        expired = messages[::7]
        server.expire([message.ack_id for message in expired])
        queue.release([message.ack_id for message in expired])
        assert len(server.requests("ModifyAckDeadline")) == 1
        queue.acknowledge([message.ack_id for message in messages])
        assert server.settled == {m.message_id for m in messages} - {m.message_id for m in expired}
        # The rest comes again, with ack ids that count.
        again = list(queue.pull(2_500, 64_000_000, 2.0))
        assert {m.message_id for m in again} == {m.message_id for m in expired}
        queue.acknowledge([message.ack_id for message in again])
        assert len(server.settled) == 2_500
        # Each of the three parts was refused once, and the rest sent again; the last was taken.
        assert len(server.requests("Acknowledge")) == 3 * 2 + 1


@ANSWERS
def test_ack_ids_that_are_refused_for_now_are_tried_again_and_hold_up_no_others(
    config: MonitoringConfig, caplog: pytest.LogCaptureFixture, settles_unnamed: bool
) -> None:
    server = ExactlyOncePubSub(settles_unnamed=settles_unnamed)
    server.add_messages([b"x"] * 10)
    with queue_of(server, config) as queue:
        ack_ids = [message.ack_id for message in queue.pull(10, 64_000_000, 2.0)]
        server.be_busy(ack_ids[:4], 2)
        server.be_busy(ack_ids[4:5], 1_000)
        server.expire(ack_ids[8:])
        queue.acknowledge(ack_ids)
        assert len(server.settled) == 7
        assert "still refuses 1 ack ids" in caplog.text
        assert len(server.requests("Acknowledge")) <= 6
