"""What the Cloud Function does with one message.

It assesses the message and names the PipelineJob with the same code as Dagster's sensor, so that
the two, given the same message, start one training between them.

The function keeps no state, which bounds what it honours:

- a drift event trains once: Vertex AI refuses a second PipelineJob of the same id;
- what cannot be settled now (the monitoring job has not ended, Vertex AI does not answer, a right
  is missing) raises, so that Eventarc delivers the message again;
- without a message it never starts: only Dagster finds jobs by itself;
- with manual approval, or with `labels`, nothing trains: what waits is kept in Dagster's event
  log;
- `cooldown_minutes` and `maximum_trainings_in_flight` need Dagster's run storage,
  `maximum_trainings_per_drift` and what a rollback holds its event log: only the sensor honours
  them, and only the sensor looks at a held event again.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cloudevents.http import CloudEvent
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.assessment import Assessor, Verdict
from transak_drift.trigger.decision import TrainingHistory, hold_back
from transak_drift.trigger.message import ReceivedMessage
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift.vertex.training_launch import launch_training

# `google.events.cloud.pubsub.v1.MessagePublishedData` in the CloudEvents schemas of Google.
MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
UNEXPECTED_EVENT = "unexpected_event"
NOT_SETTLED = "not_settled_in_time"
# Eventarc drops an event that was not taken for 24 hours ("Eventarc: Retry events"): before that
# it goes to the dead letters, from where it can be replayed.
MAX_AGE = timedelta(hours=20)


class NotReadyError(Exception):
    """The monitoring job has not ended, or cannot be read now."""


@dataclass(frozen=True, slots=True)
class _PushedMessage:
    """A message as Eventarc delivers it, and the subscription that it made for the function.

    There is no ack id: the function's answer acknowledges the message. Of an event that carries no
    message of our topic, `problem` says why, and the message is the whole event.
    """

    message: ReceivedMessage
    subscription: str | None = None
    publish_time: datetime | None = None
    problem: str = ""


class _Message(BaseModel, val_json_bytes="base64"):
    data: bytes = b""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = Field(alias="messageId", min_length=1)
    publish_time: AwareDatetime | None = Field(default=None, alias="publishTime")


class _MessagePublished(BaseModel):
    message: _Message
    subscription: str | None = None


@dataclass(frozen=True, slots=True)
class DriftMessageHandler:
    """Settles the messages of the models, at least one, that share a trigger topic.

    Each model has the connection by which its jobs are read and its training is started.
    """

    models: Sequence[tuple[MonitoringConfig, VertexConnection]]
    queue: TriggerQueue

    def handle(self, event: CloudEvent) -> None:
        """Settle one event from Eventarc; a final failure is in the dead-letter topic.

        Raises:
            Exception: it could not be settled; Eventarc delivers the event again.
        """
        pushed = _read_event(event, self.queue.topic)
        if pushed.problem:
            self._dead_letter(pushed, UNEXPECTED_EVENT, pushed.problem)
            return
        try:
            self._settle(pushed)
        except Exception as error:
            if pushed.publish_time is not None and _now() - pushed.publish_time > MAX_AGE:
                self._dead_letter(pushed, NOT_SETTLED, str(error), "ERROR")
                return
            write_entry(
                "WARNING" if isinstance(error, NotReadyError) else "ERROR",
                f"{error}; the message is delivered again",
                error=None if isinstance(error, NotReadyError | PlatformError) else error,
                message_id=pushed.message.message_id,
            )
            raise

    def _settle(self, pushed: _PushedMessage) -> None:
        jobs = [(config, VertexMonitoringJobs(connection)) for config, connection in self.models]
        found = Assessor(jobs, _now()).assess(pushed.message.data)
        if found.event is not None:
            (model,) = (model for model in self.models if model[0] is found.config)
            self._train(pushed, *model, found.event)
        elif found.verdict is Verdict.NOT_DRIFT:
            _log(pushed, "not_drift", found.reason)
        elif found.verdict is Verdict.REJECTED:
            self._dead_letter(pushed, str(found.rejection), found.reason)
        else:
            raise NotReadyError(found.reason)

    def _train(
        self,
        pushed: _PushedMessage,
        config: MonitoringConfig,
        connection: VertexConnection,
        event: DriftEvent,
    ) -> None:
        fields: dict[str, Any] = {
            "model_monitor": event.model_monitor_id,
            "drift_event": event.key,
            "features": {item.feature: item.distance for item in event.features},
        }
        hold = hold_back(len(event.features), config.retrain_policy, TrainingHistory(), _now())
        if config.retrain_policy.approval == "manual":
            hold = (
                "retrain_policy.approval is manual, and this function remembers no approval; use "
                "Dagster's sensor as the trigger, or write automatic and replay the message"
            )
        elif config.labels is not None:
            hold = (
                "labels is set, and this function keeps no event waiting for them; use Dagster's "
                "sensor as the trigger, or remove it and replay the message"
            )
        if hold is not None:
            _log(pushed, "held", hold, "WARNING", **fields)
            return
        order = TrainingRequest(event.key, event.window_end)
        # A job that failed is not followed by another, since a message may come again at any time.
        training = launch_training(connection, config, order, retry_failed=False)
        outcome = "adopted" if training.adopted else "launched"
        text = f"{training.job_name} {'was started before' if training.adopted else 'started'}"
        _log(pushed, outcome, text, pipeline_job=training.job_name, **fields)

    def _dead_letter(
        self, pushed: _PushedMessage, reason: str, detail: str, severity: str = "WARNING"
    ) -> None:
        letter = (pushed.message, reason, detail)
        (sent,) = self.queue.publish_dead_letters([letter], pushed.subscription)
        text = f"{reason}: {detail}"
        _log(pushed, "dead_lettered", text, severity, reason=reason, dead_letter=sent)


def _log(
    pushed: _PushedMessage, outcome: str, text: str, severity: str = "INFO", **fields: Any
) -> None:
    message_id = pushed.message.message_id
    write_entry(severity, f"{outcome}: {text}", message_id=message_id, outcome=outcome, **fields)


def _now() -> datetime:
    return datetime.now(UTC)


def _read_event(event: CloudEvent, topic: str) -> _PushedMessage:
    """Take the message out of an event of the trigger topic."""
    data = event.data
    whole = data if isinstance(data, bytes) else json.dumps(data, default=str).encode()
    unread = ReceivedMessage(message_id=str(event["id"])[:200], ack_id="", data=whole)
    expected = {"type": MESSAGE_PUBLISHED, "source": f"//pubsub.googleapis.com/{topic}"}
    for attribute, value in expected.items():
        if event[attribute] != value:
            problem = f"{attribute} is {str(event[attribute])[:200]!a}, expected {value}"
            return _PushedMessage(unread, problem=problem)
    try:
        published = _MessagePublished.model_validate_json(whole)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, ("data", *first["loc"])))
        return _PushedMessage(unread, problem=f"{path}: {first['msg']}")
    found = published.message
    message = ReceivedMessage(found.message_id, "", found.data, found.attributes)
    return _PushedMessage(message, published.subscription, found.publish_time)


def write_entry(
    severity: str, message: str, *, error: BaseException | None = None, **fields: object
) -> None:
    """Write an entry, with the stack trace of an error; a field that is None is left out.

    It is one JSON object a line ("Structured logging", Cloud Logging documentation).
    """
    if error is not None:
        # Error Reporting finds the stack trace within the message.
        message = f"{message}\n{''.join(traceback.format_exception(error))}"
    shown = {name: value for name, value in fields.items() if value is not None}
    entry = {**shown, "severity": severity, "message": message}
    sys.stdout.write(json.dumps(entry, default=str) + "\n")
    sys.stdout.flush()
