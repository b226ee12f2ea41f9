"""What the handler does without dead letters, and how it logs."""

from __future__ import annotations

import json
import logging

import pytest

from transak_drift.cloud_function.drift_message_handler import DriftMessageHandler, TrainedModel
from transak_drift.cloud_function.structured_log import StructuredFormatter, with_fields
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import connect as connect_pubsub
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.pubsub_events import pubsub_event
from transak_drift_tests.servers.clients import connect as connect_vertex


def test_a_rejected_message_comes_again_while_no_dead_letter_topic_takes_it(
    deployment: Deployment,
) -> None:
    missing = {"dead_letter_topic": "missing", "dead_letter_subscription": "missing-sub"}
    config = MonitoringConfig.model_validate({**deployment.config.model_dump(), **missing})
    connection = connect_vertex(deployment.vertex.endpoint)
    queue = TriggerQueue(connect_pubsub(deployment.pubsub_endpoint), config)
    model = TrainedModel(config, VertexMonitoringJobs(connection), connection)
    handler = DriftMessageHandler([model], queue, logging.getLogger("test"))

    with pytest.raises(PlatformError, match="missing"):
        handler.handle(pubsub_event(b"no json"))

    connection.close()
    queue.close()


def test_a_log_entry_is_one_line_whatever_it_says() -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, 'two\nlines "%s"', ("\u2028é",), None)
    record.__dict__.update(with_fields(reason="a\nb", severity="INFO", nothing=None))

    line = StructuredFormatter().format(record)

    assert len(line.splitlines()) == 1
    entry = json.loads(line)
    assert entry["message"] == 'two\nlines "\u2028é"'
    # A field from a message never passes for the entry's own.
    assert entry["severity"] == "ERROR"
    assert entry["reason"] == "a\nb"
    assert "nothing" not in entry
