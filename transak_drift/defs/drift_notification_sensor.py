"""Sensor: people are notified of drift events, of what became of them, and of what is overdue.

It only reads what the trigger recorded and how trainings ended, so that it holds up no training.
Each channel is at its own place: one that is out of order is tried again at the next tick and
misses nothing, and the others hear nothing twice. A process that dies after sending and before its
cursor is stored sends the same again; an e-mail has the same Message-ID then.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import BaseModel, Field, ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import catch_up, read_records
from transak_drift.defs.freshness import overdue_reports, overdue_training
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import failure_message
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.notifications.channels import (
    RefusedNotificationError,
    Send,
    TemporaryNotificationError,
    configured_channels,
)
from transak_drift.notifications.texts import (
    Notification,
    NotificationTexts,
    awaiting_identity,
    identity_of,
    labels_identity,
    settled_identity,
)
from transak_drift.reports.sanitize import sanitize_line
from transak_drift.settings import Settings
from transak_drift.trigger.approval import awaiting_approval
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

SENSOR_NAME = "drift_notification_sensor"
MAX_SENT = 4_000

# Set by Dagster on a failed run that its daemon runs again by itself.
# Steps after which labels are awaited no longer.
_WITH_LABELS = frozenset(
    {
        OutcomeKind.LABELS_COMPLETE,
        OutcomeKind.HELD,
        OutcomeKind.TRAINING_REQUESTED,
        OutcomeKind.DECLINED,
        OutcomeKind.SUPERSEDED,
    }
)
_WILL_RETRY = {"dagster/will_retry": "true"}
_ENDED = [dg.DagsterRunStatus(status) for status in ("SUCCESS", "FAILURE", "CANCELED")]
# The clock of the process that records a step or ends a run may be so far behind.
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


class Pause(BaseModel, frozen=True):
    """Until when a channel is sent nothing, UTC, and why; a refusal is for a person to fix."""

    until: datetime
    reason: str
    is_refusal: bool = False


class ChannelState(BaseModel):
    """How far one channel is; what an earlier version remembered besides is ignored."""

    # Storage id of the newest observation that is dealt with.
    seen: int | None = None
    # Trainings that ended before are dealt with, UTC; None before the first tick.
    ended_until: datetime | None = None
    # Reports and trainings that came to be due until then are dealt with, UTC.
    overdue_until: datetime | None = None
    # Digests of the notifications that were sent, oldest first, and when the newest were, UTC.
    told: list[str] = Field(default_factory=list)
    sent_at: list[datetime] = Field(default_factory=list)
    # When people were reminded of what awaits approval, UTC.
    reminded_at: datetime | None = None
    pause: Pause | None = None

    def was_sent(self, identity: str) -> bool:
        return _digest(identity) in self.told

    def add_sent(self, notifications: Sequence[Notification], now: datetime) -> None:
        """Remember notifications that were sent as one message."""
        digests = dict.fromkeys(_digest(item.identity) for item in notifications)
        self.told = [*(one for one in self.told if one not in digests), *digests][-MAX_SENT:]
        self.sent_at.append(now)
        if any(item.is_reminder for item in notifications):
            self.reminded_at = now


class NotificationState(BaseModel, extra="forbid"):
    """The state of every channel by its name; the sensor's cursor."""

    channels: dict[str, ChannelState] = Field(default_factory=dict)
    # What awaits approval, where people are reminded of it.
    inbox: Inbox = Field(default_factory=Inbox)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> NotificationState:
        """Read the state back; after an unreadable one, what happened lately is sent again."""
        try:
            return cls.model_validate_json(cursor) if cursor else cls()
        except ValidationError:
            return cls()


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


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
        decision_job=names.name(keys.DECISION_JOB),
        decision_operation=names.name(keys.DECISION_OPERATION),
    )

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Notifies people of drift events of {config.model_name}, of what became of them, and "
            "of reports and trainings that are overdue."
        ),
    )
    def drift_notification_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        before = NotificationState.from_cursor(context.cursor)
        # A channel that is configured no longer is forgotten, and begins again when it is back.
        states = {
            name: before.channels.get(name, ChannelState()).model_copy(deep=True)
            for name in channels
        }
        tick = _Tick(context, config, texts, bounds or NotificationBounds())
        inbox, policy = before.inbox.model_copy(deep=True), config.retrain_policy
        if policy.approval == "manual" and policy.approval_reminder_days is not None:
            tick.look_at_waiting(inbox)
        summaries = [
            f"{name}: {tick.notify(send, states[name])}" for name, send in channels.items()
        ]
        after = NotificationState(channels=states, inbox=inbox)
        refusals = [
            f"{name}: {state.pause.reason}"
            for name, state in states.items()
            if state.pause is not None and state.pause.is_refusal
        ]
        # A tick that fails keeps no cursor: what was sent would be sent again. So it fails only
        # once there is nothing to keep.
        if refusals and after == before:
            raise RefusedNotificationError("; ".join(refusals))
        cursor = after.model_dump_json(exclude_defaults=True)
        return dg.SensorResult(skip_reason="; ".join(summaries), cursor=cursor)

    return drift_notification_sensor


class _Tick:
    """One tick over all channels of a model."""

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        config: MonitoringConfig,
        texts: NotificationTexts,
        bounds: NotificationBounds,
    ) -> None:
        self._log, self._instance = context.log, context.instance
        self._config, self._texts, self._bounds = config, texts, bounds
        self._names = ModelNames.of(config)
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + _MAX_SECONDS
        self._waiting: list[tuple[TriggerRecord, DriftEvent]] = []

    def look_at_waiting(self, inbox: Inbox) -> None:
        """Find what awaits approval, the newest window first."""
        if catch_up(self._instance, self._names.asset(keys.DRIFT_EVENT), inbox, self._deadline):
            self._waiting = awaiting_approval(inbox)

    def notify(self, send: Send, state: ChannelState) -> str:
        """Send on a channel what is new, and sum up what was done."""
        if state.pause is not None and self._now < state.pause.until:
            return state.pause.reason
        state.pause = None
        try:
            seen, decisions = self._decisions(state)
            overdue, overdue_until = self._overdue(state)
            reminders = self._reminders(state)
            pending = [*decisions, *self._ended_trainings(state), *reminders, *overdue]
            summary, is_complete = self._send(send, state, pending)
            # Only past what is sent; until then it is read again.
            if is_complete:
                state.seen = seen
                state.overdue_until = overdue_until
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

    def _since(self, state: ChannelState) -> datetime:
        if state.ended_until is None:
            return self._now - self._bounds.look_back
        return state.ended_until - _CLOCK_DIFFERENCE

    def _decisions(self, state: ChannelState) -> tuple[int | None, list[Notification]]:
        """Return what was decided since the channel's place, and the place after it."""
        found = read_records(
            self._instance,
            self._names.asset(keys.DRIFT_EVENT),
            after=state.seen,
            since=self._since(state).timestamp() if state.seen is None else None,
            limit=_MAX_OBSERVATIONS,
        )
        new: dict[str, tuple[TriggerRecord, DriftEvent]] = {}
        for record in (record for _, records in found for record in records):
            identity = identity_of(record)
            if record.kind == OutcomeKind.APPROVED or identity is not None:
                # Nobody is asked about what is decided in the meantime.
                new.pop(awaiting_identity(record.key), None)
            if record.kind in _WITH_LABELS:
                new.pop(labels_identity(record.key), None)
            if identity is not None and record.event and not state.was_sent(identity):
                # A held event that is requested in the meantime is reported as it stands now.
                new[identity] = (record, record.event)
        # Above the bound it is a digest, which links to no run.
        training = [record.key for record, _ in new.values() if record.kind != OutcomeKind.HELD]
        tags = {keys.DRIFT_EVENT_TAG: training[: self._bounds.messages]}
        runs = self._instance.get_runs(dg.RunsFilter(tags=tags)) if training else []
        run_ids = {run.tags[keys.DRIFT_EVENT_TAG]: run.run_id for run in reversed(runs)}
        return found[-1][0] if found else state.seen, [
            self._texts.decision(record, event, run_ids.get(record.key))
            for record, event in new.values()
        ]

    def _overdue(self, state: ChannelState) -> tuple[list[Notification], datetime]:
        """Return what came to be overdue since the channel's place, and the place after it.

        The place is the last moment at which anything came to be due, not the present one: as long
        as nothing does, the cursor stays as it is.
        """
        since = state.overdue_until or self._now - self._bounds.look_back
        reports, until = overdue_reports(self._instance, self._config, since, self._now)
        found = [
            self._texts.overdue_report(item.window, item.due, is_started=item.is_started)
            for item in reports
        ]
        training = overdue_training(self._instance, self._config, since, self._now)
        if training is not None:
            until = max(until, training.due)
            found.append(self._texts.overdue_training(training.last, training.intervals))
        return [item for item in found if not state.was_sent(item.identity)], until

    def _reminders(self, state: ChannelState) -> list[Notification]:
        """Remind of what awaits approval, of one event for all, once in each interval."""
        days = self._config.retrain_policy.approval_reminder_days
        if not self._waiting or days is None:
            return []
        oldest = min((item for item, _ in self._waiting), key=lambda item: item.at)
        since, interval = max(oldest.at, state.reminded_at or oldest.at), timedelta(days=days)
        if self._now - since < interval:
            return []
        waited = self._now - oldest.at
        _, newest = self._waiting[0]
        found = self._texts.reminder(
            newest, len(self._waiting), oldest, waited // interval, waited.days
        )
        return [] if state.was_sent(found.identity) else [found]

    def _ended_trainings(self, state: ChannelState) -> list[Notification]:
        chosen = dg.RunsFilter(
            job_name=self._names.name(keys.RETRAIN_JOB),
            statuses=_ENDED,
            updated_after=self._since(state),
        )
        ended: dict[str, dg.DagsterRun] = {}
        # Newest first.
        for run in self._instance.get_runs(chosen):
            key = run.tags.get(keys.DRIFT_EVENT_TAG)
            is_failure = run.status == dg.DagsterRunStatus.FAILURE
            will_run_again = is_failure and run.tags.items() >= _WILL_RETRY.items()
            if key and not will_run_again and not state.was_sent(settled_identity(key)):
                ended.setdefault(key, run)
        return [self._training_end(key, run) for key, run in ended.items()]

    def _training_end(self, key: str, run: dg.DagsterRun) -> Notification:
        """Say how a training run ended, as Dagster's storage tells it."""
        trained = self._names.asset(keys.TRAINED_MODEL)
        entries = self._instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        found = {
            name: value.value
            for entry in entries
            if entry.asset_materialization and entry.asset_materialization.asset_key == trained
            for name, value in entry.asset_materialization.metadata.items()
            if run.status == dg.DagsterRunStatus.SUCCESS
        }
        console = found.get("console")
        return self._texts.training_end(
            key,
            run_id=run.run_id,
            version=str(found["version"]) if "version" in found else None,
            promoted=found.get("promoted") is True,
            reason=str(found.get("reason", "")) or self._failure(run),
            report_page=run.tags.get(keys.REPORT_TAG),
            further_pages={
                "Training on Vertex AI": console if isinstance(console, str) else None,
                "Monitor on Vertex AI": run.tags.get(keys.MONITOR_PAGE_TAG),
            },
        )

    def _failure(self, run: dg.DagsterRun) -> str:
        if run.status == dg.DagsterRunStatus.CANCELED:
            return "the run was cancelled"
        if run.status == dg.DagsterRunStatus.SUCCESS:
            return "the run ended without a model"
        kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
        entries = self._instance.all_logs(run.run_id, of_type=kinds)
        events = [entry.get_dagster_event() for entry in entries]
        for event in events:
            if event.is_step_failure and (message := failure_message(event)) is not None:
                return message
        return (events[0].message if events else None) or "see the run"

    def _send(
        self, send: Send, state: ChannelState, pending: Sequence[Notification]
    ) -> tuple[str, bool]:
        """Send what is pending as far as bounds and channel allow; return whether that is all."""
        if not pending:
            return "nothing new", True
        state.sent_at = [at for at in state.sent_at if self._now - at < self._bounds.period]
        room = max(0, self._bounds.messages - len(state.sent_at))
        if room == 0:
            return f"{len(pending)} wait for the next digest", False
        batches = [[item] for item in pending] if len(pending) <= room else [list(pending)]
        sent, remarks = 0, []
        for batch in batches:
            if time.monotonic() > self._deadline:
                remarks.append("the rest follows at the next tick")
                break
            try:
                remark = send(batch[0] if len(batch) == 1 else self._texts.digest(batch))
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
            state.add_sent(batch, self._now)
            sent += len(batch)
            if remark is not None:
                remarks.append(remark)
        return "; ".join([f"{sent} of {len(pending)} sent", *remarks]), sent == len(pending)
