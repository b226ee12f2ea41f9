"""What the Cloud Function does with one message.

It assesses the message and names the PipelineJob with the same code as Dagster's sensor, so that
the two, given the same message, start one training between them.

The function keeps no state, which bounds what it honours:

- a drift event trains once: Vertex AI refuses a second PipelineJob of the same id;
- a monitoring job that has not ended, or cannot be read, makes it raise, so that the message is
  delivered again;
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
from typing import Protocol

from cloudevents.http import CloudEvent

from transak_drift.cloud_function.pubsub_event import (
    PushedMessage,
    UnexpectedEventError,
    read_pushed_message,
)
from transak_drift.cloud_function.structured_log import with_fields
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import MonitoringJobs
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
from transak_drift.trigger.message import ReceivedMessage
from transak_drift.trigger.retrain_policy import NO_HISTORY, hold_back

UNEXPECTED_EVENT = "unexpected_event"
LAUNCH_REFUSED = "launch_refused"
LAUNCH_KEPT_FAILING = "launch_kept_failing"
KEPT_WAITING = "kept_waiting"
# Eventarc drops an event that was not taken for 24 hours ("Eventarc: Retry events"): before that
# it goes to the dead letters, from where it can be replayed.
LONGEST_REPETITION = timedelta(hours=20)


class Disposition(StrEnum):
    """How a message ended."""

    LAUNCHED = "launched"
    ADOPTED = "adopted"
    HELD = "held"
    NOT_DRIFT = "not_drift"
    DEAD_LETTERED = "dead_lettered"


@dataclass(frozen=True, slots=True)
class LaunchedTraining:
    """A PipelineJob that trains for a drift event.

    Args:
        pipeline_job: its resource name.
        adopted: whether it was there before this call.
    """

    pipeline_job: str
    adopted: bool


class NotReadyError(Exception):
    """The monitoring job has not ended, or cannot be read now; the message comes again."""


class LaunchRefusedError(Exception):
    """The training cannot be launched, and trying again would not help; the message says why."""


class TrainingLauncher(Protocol):
    """Starts the training of a drift event."""

    def __call__(self, event: DriftEvent) -> LaunchedTraining:
        """Start the training, or find the one that was started for this event.

        Raises:
            LaunchRefusedError: trying again would not help.
            Exception: anything else is worth another delivery.
        """
        ...


class DeadLetterQueue(Protocol):
    """Takes rejected messages."""

    topic: str

    def publish_dead_letters(
        self,
        letters: Sequence[tuple[ReceivedMessage, str, str]],
        source_subscription: str | None = None,
    ) -> list[str]:
        """Publish rejected messages, each with its reason and detail."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A monitored model and what trains it.

    Args:
        config: the monitored model.
        jobs: reads what its monitoring jobs found.
        launch: starts its training.
    """

    config: MonitoringConfig
    jobs: MonitoringJobs
    launch: TrainingLauncher


@dataclass(frozen=True, slots=True)
class DriftMessageHandler:
    """Settles the messages of the models that share a trigger topic.

    Args:
        models: the models, at least one.
        queue: the trigger topic and its dead letters.
        logger: where the outcome of each message is written.
    """

    models: Sequence[TrainedModel]
    queue: DeadLetterQueue
    logger: logging.Logger

    def handle(self, event: CloudEvent) -> Disposition:
        """Settle one event.

        Args:
            event: the CloudEvent from Eventarc.

        Returns:
            How it ended. The event is then done with: a final failure is in the dead-letter topic.

        Raises:
            Exception: a failure that may pass; Eventarc delivers the event again.
        """
        try:
            pushed = read_pushed_message(event, self.queue.topic)
        except UnexpectedEventError as error:
            return self._dead_letter(
                PushedMessage(error.event_as_message, None), UNEXPECTED_EVENT, str(error)
            )
        assessor = Assessor([(model.config, model.jobs) for model in self.models], _now())
        assessment = assessor.assess(pushed.message.data)
        match assessment.verdict:
            case Verdict.DRIFT:
                return self._answer_drift(pushed, assessment)
            case Verdict.NOT_DRIFT:
                self._log(logging.INFO, Disposition.NOT_DRIFT, pushed, assessment.reason)
                return Disposition.NOT_DRIFT
            case Verdict.REJECTED:
                return self._dead_letter(pushed, str(assessment.rejection), assessment.reason)
            case Verdict.WAITING | Verdict.UNAVAILABLE:
                if _is_about_to_be_dropped(pushed):
                    return self._dead_letter(pushed, KEPT_WAITING, assessment.reason)
                self.logger.warning(
                    "%s; the message will be delivered again",
                    assessment.reason,
                    extra=_fields(pushed, None),
                )
                raise NotReadyError(assessment.reason)

    def _answer_drift(self, pushed: PushedMessage, assessment: Assessment) -> Disposition:
        event = assessment.event
        assert event is not None
        (model,) = (model for model in self.models if model.config is assessment.config)
        hold = hold_back(len(event.features), model.config.retrain_policy, NO_HISTORY, _now())
        if hold is not None:
            self._log(logging.WARNING, Disposition.HELD, pushed, hold.reason, event)
            return Disposition.HELD
        try:
            training = model.launch(event)
        except LaunchRefusedError as error:
            return self._dead_letter(pushed, LAUNCH_REFUSED, str(error), event)
        except Exception as error:
            if _is_about_to_be_dropped(pushed):
                return self._dead_letter(pushed, LAUNCH_KEPT_FAILING, str(error), event)
            self.logger.exception(
                "the training could not be launched; the message will be delivered again",
                extra=_fields(pushed, event),
            )
            raise
        disposition = Disposition.ADOPTED if training.adopted else Disposition.LAUNCHED
        sentence = "was started before" if training.adopted else "started"
        self._log(
            logging.INFO,
            disposition,
            pushed,
            f"{training.pipeline_job} {sentence}",
            event,
            pipeline_job=training.pipeline_job,
        )
        return disposition

    def _dead_letter(
        self, pushed: PushedMessage, reason: str, detail: str, event: DriftEvent | None = None
    ) -> Disposition:
        forwarded = self.queue.publish_dead_letters(
            [(pushed.message, reason, detail)], pushed.subscription
        )
        # A rejected message is an ordinary outcome, a training that did not start is not.
        level = logging.WARNING if event is None else logging.ERROR
        self._log(
            level,
            Disposition.DEAD_LETTERED,
            pushed,
            f"{reason}: {detail}",
            event,
            reason=reason,
            dead_letter=forwarded[0],
        )
        return Disposition.DEAD_LETTERED

    def _log(
        self,
        level: int,
        disposition: Disposition,
        pushed: PushedMessage,
        sentence: str,
        event: DriftEvent | None = None,
        **fields: str,
    ) -> None:
        self.logger.log(
            level,
            "%s: %s",
            disposition,
            sentence,
            extra=_fields(pushed, event, outcome=str(disposition), **fields),
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _is_about_to_be_dropped(pushed: PushedMessage) -> bool:
    published = pushed.publish_time
    return published is not None and _now() - published > LONGEST_REPETITION


def _fields(
    pushed: PushedMessage, event: DriftEvent | None, **fields: str
) -> dict[str, dict[str, object]]:
    features = None if event is None else {item.feature: item.distance for item in event.features}
    return with_fields(
        message_id=pushed.message.message_id,
        model_monitor=None if event is None else event.model_monitor_id,
        drift_event=None if event is None else event.key,
        features=features,
        **fields,
    )
