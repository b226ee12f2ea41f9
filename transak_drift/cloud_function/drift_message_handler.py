"""What the Cloud Function does with one message.

It assesses the message and names the PipelineJob with the same code as Dagster's sensor, so that
the two, given the same message, start one training between them.

The function keeps no state, which bounds what it honours:

- a drift event trains once: Vertex AI refuses a second PipelineJob of the same id;
- what cannot be settled now (the monitoring job has not ended, Vertex AI does not answer, a right
  is missing) raises, so that Eventarc delivers the message again;
- without a message it never starts: only Dagster finds jobs by itself;
- `cooldown_minutes` and `maximum_trainings_in_flight` need Dagster's run storage: only the sensor
  honours them, and only the sensor looks at a held event again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cloudevents.http import CloudEvent

from transak_drift.cloud_function.pubsub_event import (
    PushedMessage,
    UnexpectedEventError,
    read_pushed_message,
)
from transak_drift.cloud_function.structured_log import with_fields
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import MonitoringJobs, PlatformError, TrainingRequest
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
from transak_drift.trigger.decision import TrainingHistory, hold_back
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.training_launch import launch_training

UNEXPECTED_EVENT = "unexpected_event"
NOT_SETTLED = "not_settled_in_time"
# Eventarc drops an event that was not taken for 24 hours ("Eventarc: Retry events"): before that
# it goes to the dead letters, from where it can be replayed.
MAX_AGE = timedelta(hours=20)


class Disposition(StrEnum):
    """How a message ended."""

    LAUNCHED = "launched"
    ADOPTED = "adopted"
    HELD = "held"
    NOT_DRIFT = "not_drift"
    DEAD_LETTERED = "dead_lettered"


class NotReadyError(Exception):
    """The monitoring job has not ended, or cannot be read now."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A monitored model, what reads its monitoring jobs, and what trains it."""

    config: MonitoringConfig
    jobs: MonitoringJobs
    connection: VertexConnection


@dataclass(frozen=True, slots=True)
class DriftMessageHandler:
    """Settles the messages of the models, at least one, that share a trigger topic."""

    models: Sequence[TrainedModel]
    queue: TriggerQueue
    logger: logging.Logger

    def handle(self, event: CloudEvent) -> Disposition:
        """Settle one event from Eventarc.

        Returns:
            How it ended. The event is then done with: a final failure is in the dead-letter topic.

        Raises:
            Exception: it could not be settled; Eventarc delivers the event again.
        """
        try:
            pushed = read_pushed_message(event, self.queue.topic)
        except UnexpectedEventError as error:
            pushed = PushedMessage(error.event_as_message, None)
            return self._dead_letter(pushed, UNEXPECTED_EVENT, str(error))
        try:
            return self._settle(pushed)
        except Exception as error:
            if pushed.publish_time is not None and _now() - pushed.publish_time > MAX_AGE:
                return self._dead_letter(pushed, NOT_SETTLED, str(error), logging.ERROR)
            self.logger.log(
                logging.WARNING if isinstance(error, NotReadyError) else logging.ERROR,
                "%s; the message is delivered again",
                error,
                exc_info=not isinstance(error, NotReadyError | PlatformError),
                extra=_fields(pushed),
            )
            raise

    def _settle(self, pushed: PushedMessage) -> Disposition:
        models = [(model.config, model.jobs) for model in self.models]
        assessment = Assessor(models, _now()).assess(pushed.message.data)
        match assessment:
            case Assessment(Verdict.DRIFT, event=DriftEvent() as event):
                (model,) = (model for model in self.models if model.config is assessment.config)
                return self._train(pushed, model, event)
            case Assessment(Verdict.NOT_DRIFT):
                return self._log(pushed, Disposition.NOT_DRIFT, assessment.reason)
            case Assessment(Verdict.REJECTED):
                return self._dead_letter(pushed, str(assessment.rejection), assessment.reason)
            case _:
                raise NotReadyError(assessment.reason)

    def _train(self, pushed: PushedMessage, model: TrainedModel, event: DriftEvent) -> Disposition:
        policy = model.config.retrain_policy
        hold = hold_back(len(event.features), policy, TrainingHistory(), _now())
        if hold is not None:
            return self._log(pushed, Disposition.HELD, hold, logging.WARNING, event)
        order = TrainingRequest(event.key, event.window_end)
        # A job that failed is not followed by another, since a message may come again at any time.
        training = launch_training(model.connection, model.config, order, retry_failed=False)
        return self._log(
            pushed,
            Disposition.ADOPTED if training.adopted else Disposition.LAUNCHED,
            f"{training.job_name} {'was started before' if training.adopted else 'started'}",
            event=event,
            pipeline_job=training.job_name,
        )

    def _dead_letter(
        self, pushed: PushedMessage, reason: str, detail: str, level: int = logging.WARNING
    ) -> Disposition:
        letter = (pushed.message, reason, detail)
        (dead_letter,) = self.queue.publish_dead_letters([letter], pushed.subscription)
        return self._log(
            pushed,
            Disposition.DEAD_LETTERED,
            f"{reason}: {detail}",
            level,
            reason=reason,
            dead_letter=dead_letter,
        )

    def _log(
        self,
        pushed: PushedMessage,
        disposition: Disposition,
        sentence: str,
        level: int = logging.INFO,
        event: DriftEvent | None = None,
        **fields: str,
    ) -> Disposition:
        extra = _fields(pushed, event, outcome=str(disposition), **fields)
        self.logger.log(level, "%s: %s", disposition, sentence, extra=extra)
        return disposition


def _now() -> datetime:
    return datetime.now(UTC)


def _fields(
    pushed: PushedMessage, event: DriftEvent | None = None, **fields: str
) -> dict[str, dict[str, object]]:
    features = None if event is None else {item.feature: item.distance for item in event.features}
    return with_fields(
        message_id=pushed.message.message_id,
        model_monitor=None if event is None else event.model_monitor_id,
        drift_event=None if event is None else event.key,
        features=features,
        **fields,
    )
