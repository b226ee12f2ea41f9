"""What the handler does where another configuration than the deployed one is needed."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from transak_drift.cloud_function.drift_message_handler import (
    Disposition,
    DriftMessageHandler,
    TrainedModel,
)
from transak_drift.cloud_function.structured_log import StructuredFormatter, with_fields
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import pipeline_job_id
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import connect as connect_pubsub
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.pubsub_events import pubsub_event
from transak_drift_tests.servers.clients import connect as connect_vertex
from transak_drift_tests.trigger.drift_messages import message_body


@dataclass(frozen=True, slots=True)
class LoggedHandler:
    """A handler within this process, and what it logs."""

    handler: DriftMessageHandler
    stream: io.StringIO

    def entries(self) -> list[dict[str, object]]:
        """Return the structured log entries."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@contextmanager
def handler_for(deployment: Deployment, config: MonitoringConfig) -> Generator[LoggedHandler]:
    """Return a handler of another configuration in the same surroundings."""
    stream = io.StringIO()
    writer = logging.StreamHandler(stream)
    writer.setFormatter(StructuredFormatter())
    logger = logging.Logger("test")
    logger.addHandler(writer)
    connection = connect_vertex(deployment.vertex.endpoint)
    queue = TriggerQueue(connect_pubsub(deployment.pubsub_endpoint), config)
    try:
        model = TrainedModel(config, VertexMonitoringJobs(connection), connection)
        yield LoggedHandler(DriftMessageHandler([model], queue, logger), stream)
    finally:
        connection.close()
        queue.close()


def changed(config: MonitoringConfig, **changes: object) -> MonitoringConfig:
    return MonitoringConfig.model_validate({**config.model_dump(), **changes})


def test_a_message_with_too_few_drifted_features_is_held(deployment: Deployment) -> None:
    config = changed(deployment.config, retrain_policy={"minimum_anomalous_features": 2})
    drift = deployment.finished_job("one-feature")
    one = pubsub_event(message_body(drift))
    both = deployment.finished_job("two-features", {"description": 0.6, "type": 0.4})
    two = pubsub_event(message_body(both))

    with handler_for(deployment, config) as logged:
        assert logged.handler.handle(one) == Disposition.HELD
        assert logged.handler.handle(two) == Disposition.LAUNCHED

    held, launched = logged.entries()
    assert (held["severity"], held["outcome"]) == ("WARNING", "held")
    assert "the policy asks for 2" in str(held["message"])
    assert launched["outcome"] == "launched"
    assert not deployment.jobs(pipeline_job_id("pipeline-train", drift.key))
    assert not deployment.is_dead_letter(one["id"])


def test_the_configured_pipeline_names_the_job(deployment: Deployment) -> None:
    config = changed(deployment.config, training_pipeline="another-train")
    drift = deployment.finished_job("named")
    event = pubsub_event(message_body(drift))

    with handler_for(deployment, config) as logged:
        assert logged.handler.handle(event) == Disposition.LAUNCHED

    assert deployment.jobs(pipeline_job_id("another-train", drift.key))


def test_a_rejected_message_comes_again_while_no_dead_letter_topic_takes_it(
    deployment: Deployment,
) -> None:
    config = changed(
        deployment.config, dead_letter_topic="missing", dead_letter_subscription="missing-sub"
    )
    event = pubsub_event(b"no json")

    with handler_for(deployment, config) as logged, pytest.raises(PlatformError, match="missing"):
        logged.handler.handle(event)


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
