"""What the Cloud Function does with one drift message.

It parses, verifies and names the PipelineJob with the same code as Dagster's sensor, so that the
two, given the same message, start one training between them. The monitor that a message names
decides which of the models that share the topic it is held against, and which one trains.

The function keeps no state, which bounds what it honours of the retrain policy:

- a drift event trains once: Vertex AI refuses a second PipelineJob of the same id;
- `minimum_anomalous_features` is held against the features of one message, not of all messages of
  a monitoring job;
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
from transak_drift.trigger.message_assessment import Drift, NotDrift, Rejected, assess_message
from transak_drift.trigger.messages import ReceivedMessage
from transak_drift.trigger.retrain_policy import NO_HISTORY, hold_back

UNEXPECTED_EVENT = "unexpected_event"
LAUNCH_REFUSED = "launch_refused"
LAUNCH_KEPT_FAILING = "launch_kept_failing"
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
        launch: starts its training.
    """

    config: MonitoringConfig
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
        assessment = assess_message(pushed.message.data, *(model.config for model in self.models))
        match assessment:
            case Rejected(reason, detail):
                return self._dead_letter(pushed, str(reason), detail)
            case NotDrift(drift_event):
                self._log(
                    logging.INFO,
                    Disposition.NOT_DRIFT,
                    pushed,
                    "no monitored feature is above its threshold",
                    drift_event,
                )
                return Disposition.NOT_DRIFT
            case Drift(drift_event):
                return self._answer_drift(pushed, drift_event)

    def _answer_drift(self, pushed: PushedMessage, event: DriftEvent) -> Disposition:
        # An event that was held against no model of ours is no drift but rejected.
        (model,) = (
            model
            for model in self.models
            if model.config.model_monitor_id == event.model_monitor_id
        )
        hold = hold_back(
            len(event.anomalies), model.config.retrain_policy, NO_HISTORY, datetime.now(UTC)
        )
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


def _is_about_to_be_dropped(pushed: PushedMessage) -> bool:
    published = pushed.publish_time
    return published is not None and datetime.now(UTC) - published > LONGEST_REPETITION


def _fields(
    pushed: PushedMessage, event: DriftEvent | None, **fields: str
) -> dict[str, dict[str, object]]:
    features = None if event is None else {item.feature: item.deviation for item in event.anomalies}
    return with_fields(
        message_id=pushed.message.message_id,
        model_monitor=None if event is None else event.model_monitor_id,
        drift_event=None if event is None else event.key,
        features=features,
        **fields,
    )
