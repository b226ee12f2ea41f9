"""Sensor: people are told of each drift event, and of what became of it.

It reads what the trigger recorded and changes nothing of it, so that a channel that is out of order
holds up no training. Each channel is at its own place: one that is out of order is tried again at
the next tick and misses nothing, and the others hear nothing twice.

In ordinary operation each notification is sent exactly once. A process that dies after sending and
before its cursor is stored, or a time-out that hides what the service has taken, sends the same
again; an e-mail has the same Message-ID then, a message in Slack is there twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import failure_message
from transak_drift.defs.notification_resource import NotificationResource
from transak_drift.notifications.channels import (
    NotificationChannel,
    RefusedNotificationError,
    TemporaryNotificationError,
)
from transak_drift.notifications.state import (
    AwaitedTraining,
    ChannelState,
    NotificationState,
    Refusal,
)
from transak_drift.notifications.texts import (
    Notification,
    NotificationPages,
    TrainingEnd,
    digest,
    notify_of_decision,
    notify_of_training,
    sanitize_line,
    stage_of,
)
from transak_drift.settings import Settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord

SENSOR_NAME = "drift_notification_sensor"

# Set by Dagster on a failed run that its daemon runs again by itself.
_WILL_RETRY_TAG = "dagster/will_retry"
_KEYS_PER_QUERY = 300
_FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


# Observations that a tick reads, and seconds after which it sends nothing more; the rest follows.
_MAX_OBSERVATIONS = 500
_MAX_SECONDS = 20.0
# After a refusal that no repetition fixes, the channel is tried again so late.
_REFUSAL_PAUSE = timedelta(minutes=5)
# So long a service may ask to wait.
_MAX_PAUSE = timedelta(hours=1)
# A training without a run is awaited so long.
_MAX_WAIT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class NotificationBounds:
    """What a channel is sent at most in a period, the rest as a digest; how far the first looks."""

    messages: int = 5
    period: timedelta = timedelta(minutes=10)
    look_back: timedelta = timedelta(days=1)


class NotificationRefusedError(Exception):
    """A channel refuses notifications; the message names the setting and the fix."""


def build_drift_notification_sensor(
    config: MonitoringConfig, settings: Settings, bounds: NotificationBounds | None = None
) -> dg.SensorDefinition:
    """Build the sensor of one model with `notifications`. It starts no run and records nothing."""
    names = ModelNames.of(config)
    pages = NotificationPages(
        config=config,
        drift_report=tuple(names.asset(keys.DRIFT_REPORT).path),
        drift_event=tuple(names.asset(keys.DRIFT_EVENT).path),
        dagster_url=settings.dagster_url,
        vertex=settings.platform == "gcp",
    )

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Tells people of each drift event of {config.model_name}, and of what became of it."
        ),
    )
    def drift_notification_sensor(
        context: dg.SensorEvaluationContext, notifications: NotificationResource
    ) -> dg.SensorResult:
        before = NotificationState.from_cursor(context.cursor)
        channels = notifications.open(config)
        # A channel that is configured no longer is forgotten, and begins afresh when it is back.
        state = NotificationState(
            channels={
                name: before.channels.get(name, ChannelState()).model_copy(deep=True)
                for name in channels
            }
        )
        tick = _Tick(context, config, pages, bounds or NotificationBounds())
        summaries = tick.run(channels, state)
        refusals = [
            f"{name}: {channel.refusal.message}"
            for name, channel in state.channels.items()
            if channel.refusal is not None
        ]
        # A tick that fails keeps no cursor: what was sent would be sent again. So it fails only
        # once there is nothing to keep.
        if refusals and state == before:
            raise NotificationRefusedError("; ".join(refusals))
        return dg.SensorResult(skip_reason="; ".join(summaries), cursor=state.to_cursor())

    return drift_notification_sensor


class _Tick:
    """One tick over all channels of a model."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        config: MonitoringConfig,
        pages: NotificationPages,
        bounds: NotificationBounds,
    ) -> None:
        self._context = context
        self._instance = context.instance
        self._config = config
        self._key = ModelNames.of(config).asset(keys.DRIFT_EVENT)
        self._pages = pages
        self._bounds = bounds
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + _MAX_SECONDS

    def run(
        self, channels: Mapping[str, NotificationChannel], state: NotificationState
    ) -> list[str]:
        """Send on each channel what is new, and sum up what was done, a sentence a channel."""
        summaries = []
        for name, channel in channels.items():
            try:
                summary = self._notify(channel, state.channels[name])
            except Exception as error:
                # Raised at once, it would take the memory of what the other channels were sent.
                self._context.log.exception(f"{name}: unexpected error")
                summary = sanitize_line(f"unexpected {type(error).__name__}: {error}")
                state.channels[name].refusal = self._refusal(summary)
            summaries.append(f"{name}: {summary}")
        return summaries

    def _notify(self, channel: NotificationChannel, state: ChannelState) -> str:
        if state.refusal is not None:
            if self._now < state.refusal.again_at:
                return state.refusal.message
            state.refusal = None
        if state.pause_until is not None:
            if self._now < state.pause_until:
                return f"the service asks to wait until {state.pause_until:%H:%M:%S} UTC"
            state.pause_until = None
        seen, records = self._read(state)
        new = self._new_decisions(state, records)
        ended = self._ended_trainings(state)
        summary, delivered = self._send(channel, state, [*new, *ended.values()])
        for key, item in ended.items():
            if item.identity in delivered:
                state.awaited.pop(key, None)
        # Only past what is told; until then it is read again.
        if all(item.identity in delivered for item in new):
            self._await_trainings(state, records)
            state.seen = seen
        return summary

    def _read(self, state: ChannelState) -> tuple[int, list[TriggerRecord]]:
        """Read what is recorded since the channel's place; before the first tick, lately."""
        newest = state.seen
        if newest is None:
            # Asked before the rest is read, so that what is recorded in between is read later.
            latest = self._instance.fetch_observations(self._key, limit=1).records
            newest = latest[0].storage_id if latest else 0
        since = (self._now - self._bounds.look_back).timestamp()
        found = read_records(
            self._instance,
            self._key,
            after=state.seen,
            since=since if state.seen is None else None,
            limit=_MAX_OBSERVATIONS,
        )
        seen = found[-1][0] if found else newest
        return seen, [record for _, records in found for record in records if record.event]

    def _refusal(self, message: str) -> Refusal:
        return Refusal(message=message, again_at=self._now + _REFUSAL_PAUSE)

    def _new_decisions(
        self, state: ChannelState, records: Sequence[TriggerRecord]
    ) -> list[Notification]:
        new: dict[str, TriggerRecord] = {}
        for record in records:
            if stage_of(record) is not None:
                identity = notify_of_decision(self._config, record, self._pages).identity
                if not state.has_told(identity):
                    # A held event that is requested in the meantime is told as it stands now.
                    new[identity] = record
        keys = [record.key for record in new.values() if record.kind != OutcomeKind.HELD]
        runs = _newest_training_runs(self._instance, keys[: self._bounds.messages])
        run_ids = {key: run.run_id for key, run in runs.items()}
        return [
            notify_of_decision(self._config, record, self._pages, run_ids.get(record.key))
            for record in new.values()
        ]

    def _await_trainings(self, state: ChannelState, records: Sequence[TriggerRecord]) -> None:
        for record in records:
            if record.kind == OutcomeKind.TRAINING_REQUESTED and record.event is not None:
                awaited = AwaitedTraining(window_end=record.event.window_end, since=self._now)
                state.await_training(record.key, awaited)
            elif record.kind == OutcomeKind.SUPERSEDED:
                state.awaited.pop(record.key, None)

    def _ended_trainings(self, state: ChannelState) -> dict[str, Notification]:
        ended: dict[str, Notification] = {}
        runs = _newest_training_runs(self._instance, state.awaited)
        for key, awaited in list(state.awaited.items()):
            run = runs.get(key)
            if run is None:
                # Deleted, or held again since its model was taken out of the configuration.
                if self._now - awaited.since > _MAX_WAIT:
                    del state.awaited[key]
            elif _has_ended(run):
                end = _training_end(self._instance, self._config, key, awaited.window_end, run)
                notification = notify_of_training(self._config, end, self._pages)
                if state.has_told(notification.identity):
                    del state.awaited[key]
                else:
                    ended[key] = notification
        return ended

    def _send(
        self, channel: NotificationChannel, state: ChannelState, pending: Sequence[Notification]
    ) -> tuple[str, set[str]]:
        """Send what is pending as far as the bounds and the channel allow; return identities."""
        delivered: set[str] = set()
        if not pending:
            return "nothing new", delivered
        room = state.room(self._now, self._bounds.messages, self._bounds.period)
        if room == 0:
            return f"{len(pending)} wait for the next digest", delivered
        batches = [[item] for item in pending] if len(pending) <= room else [list(pending)]
        remarks: list[str] = []
        for batch in batches:
            if time.monotonic() > self._deadline:
                remarks.append("the rest follows at the next tick")
                break
            message = batch[0] if len(batch) == 1 else digest(self._config, batch, self._pages)
            try:
                remark = channel.send(message)
            except TemporaryNotificationError as error:
                if error.retry_after is not None:
                    wait = min(timedelta(seconds=error.retry_after), _MAX_PAUSE)
                    state.pause_until = self._now + wait
                remarks.append(f"{error}; tried again later")
                break
            except RefusedNotificationError as error:
                state.refusal = self._refusal(str(error))
                remarks.append(str(error))
                break
            identities = [item.identity for item in batch]
            state.tell(identities, self._now)
            delivered.update(identities)
            if remark is not None:
                remarks.append(remark)
        told = sum(item.identity in delivered for item in pending)
        return "; ".join([f"{told} of {len(pending)} told", *remarks]), delivered


def _newest_training_runs(
    instance: dg.DagsterInstance, event_keys: Iterable[str]
) -> dict[str, dg.DagsterRun]:
    """Find by drift event its newest training run, where it has one."""
    wanted = sorted(event_keys)
    newest: dict[str, dg.DagsterRun] = {}
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        tags = {keys.DRIFT_EVENT_TAG: wanted[start : start + _KEYS_PER_QUERY]}
        # Newest first.
        for run in instance.get_runs(dg.RunsFilter(tags=tags)):
            newest.setdefault(run.tags[keys.DRIFT_EVENT_TAG], run)
    return newest


def _has_ended(run: dg.DagsterRun) -> bool:
    will_run_again = (
        run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(_WILL_RETRY_TAG) == "true"
    )
    return run.status in _FINISHED and not will_run_again


def _training_end(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    key: str,
    window_end: datetime | None,
    run: dg.DagsterRun,
) -> TrainingEnd:
    """Say how an event's newest training run ended, as Dagster's storage tells it."""
    found: dict[str, Any] = {}
    if run.status == dg.DagsterRunStatus.SUCCESS:
        trained_model = ModelNames.of(config).asset(keys.TRAINED_MODEL)
        for record in instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        ).records:
            model = record.asset_materialization
            if model is not None and model.asset_key == trained_model:
                found = {name: value.value for name, value in model.metadata.items()}
    console = found.get("console")
    return TrainingEnd(
        key=key,
        window_end=window_end,
        run_id=run.run_id,
        version=str(found["version"]) if "version" in found else None,
        promoted=found.get("promoted") is True,
        reason=str(found.get("reason", "")) or _failure(instance, run),
        console_url=console if isinstance(console, str) else None,
    )


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
