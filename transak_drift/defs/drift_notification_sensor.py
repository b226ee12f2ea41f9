"""Sensor: people are told of each drift event, and of what became of it.

It reads what the trigger recorded and how trainings ended, and changes nothing of it, so that a
channel that is out of order holds up no training. Each channel is at its own place: one that is out
of order is tried again at the next tick and misses nothing, and the others hear nothing twice.

In ordinary operation each notification is sent exactly once. A process that dies after sending and
before its cursor is stored, or a time-out that hides what the service has taken, sends the same
again; an e-mail has the same Message-ID then, a message in Slack is there twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import failure_message
from transak_drift.notifications.channels import (
    EmailChannel,
    MailServer,
    NotificationChannel,
    RefusedNotificationError,
    SlackChannel,
    TemporaryNotificationError,
)
from transak_drift.notifications.state import ChannelState, NotificationState, Pause
from transak_drift.notifications.texts import (
    Notification,
    NotificationTexts,
    TrainingEnd,
    identity_of,
    settled_identity,
)
from transak_drift.reports.sanitize import sanitize_line
from transak_drift.settings import Settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord

SENSOR_NAME = "drift_notification_sensor"

# Set by Dagster on a failed run that its daemon runs again by itself.
_WILL_RETRY_TAG = "dagster/will_retry"
_ENDED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
# The clock of the process that ends a run may be so far behind.
_CLOCK_DIFFERENCE = timedelta(hours=1)
# Observations that a tick reads, and seconds after which it sends nothing more; the rest follows.
_MAX_OBSERVATIONS = 500
_MAX_SECONDS = 20.0
# After a refusal that no repetition fixes, the channel is tried again so late.
_REFUSAL_PAUSE = timedelta(minutes=5)
# So long a service may ask to wait.
_MAX_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class NotificationBounds:
    """What a channel is sent at most in a period, the rest as a digest; how far the first looks."""

    messages: int = 5
    period: timedelta = timedelta(minutes=10)
    look_back: timedelta = timedelta(days=1)


class NotificationRefusedError(Exception):
    """A channel refuses notifications; the message names the setting and the fix."""


def configured_channels(
    config: MonitoringConfig, settings: Settings
) -> dict[str, NotificationChannel]:
    """Return by name each channel that the model configures; nothing is connected yet."""
    channels: dict[str, NotificationChannel] = {}
    wanted = config.notifications
    if wanted is not None and wanted.slack is not None:
        url = settings.slack_api_url
        channels["slack"] = SlackChannel(wanted.slack, settings.slack_token, url)
    if wanted is not None and wanted.email is not None:
        server = MailServer(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            password=settings.smtp_password,
        )
        channels["email"] = EmailChannel(wanted.email, server)
    return channels


def build_drift_notification_sensor(
    config: MonitoringConfig, settings: Settings, bounds: NotificationBounds | None = None
) -> dg.SensorDefinition:
    """Build the sensor of one model with `notifications`. It starts no run and records nothing."""
    names = ModelNames.of(config)
    channels = configured_channels(config, settings)
    texts = NotificationTexts(
        config=config,
        drift_report=names.asset(keys.DRIFT_REPORT).path,
        drift_event=names.asset(keys.DRIFT_EVENT).path,
        dagster_url=settings.dagster_url,
        on_vertex=settings.platform == "gcp",
    )

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Tells people of each drift event of {config.model_name}, and of what became of it."
        ),
    )
    def drift_notification_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        before = NotificationState.from_cursor(context.cursor)
        # A channel that is configured no longer is forgotten, and begins afresh when it is back.
        states = {
            name: before.channels.get(name, ChannelState()).model_copy(deep=True)
            for name in channels
        }
        tick = _Tick(context, names, texts, bounds or NotificationBounds())
        summaries = [
            f"{name}: {tick.notify(channel, states[name])}" for name, channel in channels.items()
        ]
        after = NotificationState(channels=states)
        refusals = [
            f"{name}: {state.pause.reason}"
            for name, state in states.items()
            if state.pause is not None and state.pause.is_refusal
        ]
        # A tick that fails keeps no cursor: what was sent would be sent again. So it fails only
        # once there is nothing to keep.
        if refusals and after == before:
            raise NotificationRefusedError("; ".join(refusals))
        return dg.SensorResult(skip_reason="; ".join(summaries), cursor=after.to_cursor())

    return drift_notification_sensor


class _Tick:
    """One tick over all channels of a model."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        names: ModelNames,
        texts: NotificationTexts,
        bounds: NotificationBounds,
    ) -> None:
        self._log = context.log
        self._instance = context.instance
        self._names = names
        self._texts = texts
        self._bounds = bounds
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + _MAX_SECONDS

    def notify(self, channel: NotificationChannel, state: ChannelState) -> str:
        """Send on a channel what is new, and sum up what was done."""
        if state.pause is not None and self._now < state.pause.until:
            return state.pause.reason
        state.pause = None
        try:
            seen, records = self._read(state)
            pending = [*self._decisions(state, records), *self._ended_trainings(state)]
            summary, is_complete = self._send(channel, state, pending)
            # Only past what is sent; until then it is read again.
            if is_complete:
                state.seen = seen
                if pending or state.ended_until is None:
                    state.ended_until = self._now
            return summary
        except Exception as error:
            # Raised, it would take the memory of what the other channels were sent.
            self._log.exception("unexpected error")
            summary = sanitize_line(f"unexpected {type(error).__name__}: {error}", 300)
            return self._refuse(state, summary)

    def _refuse(self, state: ChannelState, reason: str) -> str:
        until = self._now + _REFUSAL_PAUSE
        state.pause = Pause(until=until, reason=reason, is_refusal=True)
        return reason

    def _read(self, state: ChannelState) -> tuple[int, list[TriggerRecord]]:
        """Read what is recorded since the channel's place; before the first tick, lately."""
        key, newest = self._names.asset(keys.DRIFT_EVENT), state.seen
        if newest is None:
            # Asked before the rest is read, so that what is recorded in between is read later.
            latest = self._instance.fetch_observations(key, limit=1).records
            newest = latest[0].storage_id if latest else 0
        since = (self._now - self._bounds.look_back).timestamp()
        found = read_records(
            self._instance,
            key,
            after=state.seen,
            since=since if state.seen is None else None,
            limit=_MAX_OBSERVATIONS,
        )
        seen = found[-1][0] if found else newest
        return seen, [record for _, records in found for record in records if record.event]

    def _decisions(
        self, state: ChannelState, records: Sequence[TriggerRecord]
    ) -> list[Notification]:
        new: dict[str, TriggerRecord] = {}
        for record in records:
            identity = identity_of(record)
            if identity is not None and not state.was_sent(identity):
                # A held event that is requested in the meantime is told as it stands now.
                new[identity] = record
        # Above the bound it is a digest, which links to no run.
        training = [record.key for record in new.values() if record.kind != OutcomeKind.HELD]
        tags = {keys.DRIFT_EVENT_TAG: training[: self._bounds.messages]}
        runs = self._instance.get_runs(dg.RunsFilter(tags=tags)) if training else []
        run_ids = {run.tags[keys.DRIFT_EVENT_TAG]: run.run_id for run in reversed(runs)}
        return [self._texts.decision(item, run_ids.get(item.key)) for item in new.values()]

    def _ended_trainings(self, state: ChannelState) -> list[Notification]:
        since = state.ended_until or self._now - self._bounds.look_back
        chosen = dg.RunsFilter(
            job_name=self._names.name(keys.RETRAIN_JOB),
            statuses=_ENDED,
            updated_after=since - _CLOCK_DIFFERENCE,
        )
        ended: dict[str, dg.DagsterRun] = {}
        # Newest first.
        for run in self._instance.get_runs(chosen):
            key = run.tags.get(keys.DRIFT_EVENT_TAG)
            will_run_again = (
                run.status == dg.DagsterRunStatus.FAILURE
                and run.tags.get(_WILL_RETRY_TAG) == "true"
            )
            if key and not will_run_again and not state.was_sent(settled_identity(key)):
                ended.setdefault(key, run)
        return [
            self._texts.training_end(_training_end(self._instance, self._names, key, run))
            for key, run in ended.items()
        ]

    def _send(
        self, channel: NotificationChannel, state: ChannelState, pending: Sequence[Notification]
    ) -> tuple[str, bool]:
        """Send what is pending as far as bounds and channel allow; return whether that is all."""
        if not pending:
            return "nothing new", True
        room = state.room(self._now, self._bounds.messages, self._bounds.period)
        if room == 0:
            return f"{len(pending)} wait for the next digest", False
        batches = [[item] for item in pending] if len(pending) <= room else [list(pending)]
        sent, remarks = 0, []
        for batch in batches:
            if time.monotonic() > self._deadline:
                remarks.append("the rest follows at the next tick")
                break
            message = batch[0] if len(batch) == 1 else self._texts.digest(batch)
            try:
                remark = channel.send(message)
            except TemporaryNotificationError as error:
                if error.retry_after is not None:
                    until = self._now + min(timedelta(seconds=error.retry_after), _MAX_PAUSE)
                    reason = f"the service asks to wait until {until:%H:%M:%S} UTC"
                    state.pause = Pause(until=until, reason=reason)
                remarks.append(f"{error}; tried again later")
                break
            except RefusedNotificationError as error:
                remarks.append(self._refuse(state, str(error)))
                break
            state.add_sent([item.identity for item in batch], self._now)
            sent += len(batch)
            if remark is not None:
                remarks.append(remark)
        return "; ".join([f"{sent} of {len(pending)} told", *remarks]), sent == len(pending)


def _training_end(
    instance: dg.DagsterInstance, names: ModelNames, key: str, run: dg.DagsterRun
) -> TrainingEnd:
    """Say how a training run ended, as Dagster's storage tells it."""
    found: dict[str, Any] = {}
    if run.status == dg.DagsterRunStatus.SUCCESS:
        for record in instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        ).records:
            model = record.asset_materialization
            if model is not None and model.asset_key == names.asset(keys.TRAINED_MODEL):
                found = {name: value.value for name, value in model.metadata.items()}
    console = found.get("console")
    return TrainingEnd(
        key=key,
        window_end=_window_end(names, run),
        run_id=run.run_id,
        version=str(found["version"]) if "version" in found else None,
        promoted=found.get("promoted") is True,
        reason=str(found.get("reason", "")) or _failure(instance, run),
        console_url=console if isinstance(console, str) else None,
    )


def _window_end(names: ModelNames, run: dg.DagsterRun) -> datetime | None:
    config: Any = run.run_config
    try:
        training = config["ops"][names.name(keys.TRAIN_OPERATION)]["config"]
        return datetime.fromisoformat(training["window_end"])
    except (KeyError, TypeError, ValueError):
        # A person may have started it with another configuration.
        return None


def _failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    if run.status == dg.DagsterRunStatus.CANCELED:
        return "the run was cancelled"
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "the run ended without a model"
    records = instance.get_records_for_run(
        run.run_id, of_type={dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    ).records
    events = [
        record.event_log_entry.dagster_event
        for record in records
        if record.event_log_entry.dagster_event is not None
    ]
    for event in events:
        if event.is_step_failure and (message := failure_message(event)) is not None:
            return message
    return (events[0].message if events else None) or "see the run"
