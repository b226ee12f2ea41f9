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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import DRIFT_EVENT, DRIFT_REPORT, ModelNames
from transak_drift.defs.notification_resource import NotificationResource
from transak_drift.defs.training_ends import newest_training_runs, training_end
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
    digest,
    notify_of_decision,
    notify_of_training,
    sanitize_line,
    stage_of,
)
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord

SENSOR_NAME = "drift_notification_sensor"


@dataclass(frozen=True, slots=True)
class NotificationBounds:
    """What a channel is sent at most; what is more is joined to a digest.

    Args:
        messages: messages in a period.
        period: its length.
        observations: observations that a tick reads; the rest follows on later ticks.
        seconds: time after which a tick sends no further message.
        look_back: how far the very first tick looks back.
        refusal_pause: after a refusal that no repetition mends, the channel is tried again so late.
        max_pause: so long a service may ask to wait.
        max_wait: a training without a run is awaited so long.
    """

    messages: int = 5
    period: timedelta = timedelta(minutes=10)
    observations: int = 500
    seconds: float = 20.0
    look_back: timedelta = timedelta(days=1)
    refusal_pause: timedelta = timedelta(minutes=5)
    max_pause: timedelta = timedelta(hours=1)
    max_wait: timedelta = timedelta(days=7)


class NotificationRefusedError(Exception):
    """A channel refuses notifications; the message names the setting and the fix."""


def build_drift_notification_sensor(
    config: MonitoringConfig,
    interval_seconds: int,
    dagster_url: str | None = None,
    vertex: bool = False,
    bounds: NotificationBounds | None = None,
) -> dg.SensorDefinition:
    """Build the sensor of one model.

    Args:
        config: the monitored model, with `notifications`.
        interval_seconds: least seconds between two ticks.
        dagster_url: address of the Dagster UI, or None: then nothing there is linked to.
        vertex: whether the console of Vertex AI is linked to.
        bounds: what is sent at most.

    Returns:
        The sensor, running by default. It starts no run and records nothing.
    """
    limits = bounds or NotificationBounds()
    names = ModelNames.of(config)
    pages = NotificationPages(
        config=config,
        drift_report=tuple(names.asset(DRIFT_REPORT).path),
        drift_event=tuple(names.asset(DRIFT_EVENT).path),
        dagster_url=dagster_url,
        vertex=vertex,
    )

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        minimum_interval_seconds=interval_seconds,
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
        # A channel that is configured no longer is forgotten, and begins anew when it is back.
        state = NotificationState(
            channels={
                name: before.channels.get(name, ChannelState()).model_copy(deep=True)
                for name in channels
            }
        )
        tick = _Tick(context, config, pages, limits)
        sentences = tick.work(channels, state)
        refusals = [
            f"{name}: {channel.refusal.message}"
            for name, channel in state.channels.items()
            if channel.refusal is not None
        ]
        # A tick that fails keeps no cursor: what was sent would be sent again. So it fails only
        # once there is nothing to keep.
        if refusals and state == before:
            raise NotificationRefusedError("; ".join(refusals))
        return dg.SensorResult(skip_reason="; ".join(sentences), cursor=state.to_cursor())

    return drift_notification_sensor


class _Tick:
    """One tick over all channels of a model."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        config: MonitoringConfig,
        pages: NotificationPages,
        limits: NotificationBounds,
    ) -> None:
        self._instance = context.instance
        self._context = context
        self._config = config
        self._key = ModelNames.of(config).asset(DRIFT_EVENT)
        self._pages = pages
        self._limits = limits
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + limits.seconds

    def work(
        self, channels: Mapping[str, NotificationChannel], state: NotificationState
    ) -> list[str]:
        """Send on each channel what is new, and tell in a sentence a channel what was done."""
        sentences = []
        for name, channel in channels.items():
            try:
                sentence = self._work_channel(channel, state.channels[name])
            except Exception as error:
                # Raised at once, it would take the memory of what the other channels were sent.
                self._context.log.exception(f"{name}: unexpected error")
                sentence = sanitize_line(f"unexpected {type(error).__name__}: {error}")
                state.channels[name].refusal = self._refusal(sentence)
            sentences.append(f"{name}: {sentence}")
        return sentences

    def _work_channel(self, channel: NotificationChannel, state: ChannelState) -> str:
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
        pending = [*new, *ended.values()]
        sentence, sent = self._send(channel, state, pending)
        delivered = {item.identity for item in sent}
        for key, item in ended.items():
            if item.identity in delivered:
                state.awaited.pop(key, None)
        # Only past what is told; until then it is read again.
        if all(item.identity in delivered for item in new):
            self._await_trainings(state, records)
            state.seen = seen
        return sentence

    def _read(self, state: ChannelState) -> tuple[int, list[TriggerRecord]]:
        """Read what is recorded since the channel's place; before the first tick, lately."""
        newest = state.seen
        if newest is None:
            # Asked before the rest is read, so that what is recorded in between is read later.
            latest = self._instance.fetch_observations(self._key, limit=1).records
            newest = latest[0].storage_id if latest else 0
        since = (self._now - self._limits.look_back).timestamp()
        found = read_records(
            self._instance,
            self._key,
            after=state.seen,
            since=since if state.seen is None else None,
            limit=self._limits.observations,
        )
        seen = found[-1][0] if found else newest
        return seen, [record for _, records in found for record in records if record.event]

    def _refusal(self, message: str) -> Refusal:
        return Refusal(message=message, again_at=self._now + self._limits.refusal_pause)

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
        runs = newest_training_runs(self._instance, keys[: self._limits.messages])
        return [
            notify_of_decision(
                self._config,
                record,
                self._pages,
                runs[record.key].run_id if record.key in runs else None,
            )
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
        runs = newest_training_runs(self._instance, state.awaited)
        for key, awaited in list(state.awaited.items()):
            run = runs.get(key)
            if run is None:
                # Deleted, or held again since its model was taken out of the configuration.
                if self._now - awaited.since > self._limits.max_wait:
                    del state.awaited[key]
                continue
            end = training_end(self._instance, self._config, key, awaited.window_end, run)
            if end is None:
                continue
            notification = notify_of_training(self._config, end, self._pages)
            if state.has_told(notification.identity):
                del state.awaited[key]
            else:
                ended[key] = notification
        return ended

    def _send(
        self, channel: NotificationChannel, state: ChannelState, pending: Sequence[Notification]
    ) -> tuple[str, list[Notification]]:
        """Send what is pending as far as the bounds and the channel allow."""
        if not pending:
            return "nothing new", []
        room = state.room(self._now, self._limits.messages, self._limits.period)
        if room == 0:
            return f"{len(pending)} wait for the next digest", []
        batches = [[item] for item in pending] if len(pending) <= room else [list(pending)]
        sent: list[Notification] = []
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
                    wait = min(timedelta(seconds=error.retry_after), self._limits.max_pause)
                    state.pause_until = self._now + wait
                remarks.append(f"{error}; tried again later")
                break
            except RefusedNotificationError as error:
                state.refusal = self._refusal(str(error))
                remarks.append(str(error))
                break
            state.tell((item.identity for item in batch), self._now)
            sent += batch
            if remark is not None:
                remarks.append(remark)
        told = f"{len(sent)} of {len(pending)} told"
        return "; ".join([told, *remarks]), sent
