"""A model of what surrounds the trigger's decisions: Pub/Sub, the platform, Dagster, a clock.

It models what each may do at its worst and still be what its documentation says: Pub/Sub delivers
at least once, in any order, and may lose an acknowledgement ("Pub/Sub: Subscription overview");
the platform answers late or not at all; the daemon dies between any two durable writes, and then
resumes a tick whose run requests it had stored, or, when it was away for long, evaluates afresh
(`dagster._daemon.sensor`). Bodies are real and go through the real assessment; the cursor is real
text; the event log is all that is remembered where it is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.platform import TemporaryPlatformError
from transak_drift.training.rollback import Rollback
from transak_drift.trigger.approval import (
    Decision,
    UndecidableError,
    decision_records,
    find_event,
)
from transak_drift.trigger.assessment import Assessor, drift_event_of
from transak_drift.trigger.decision import QuietWindow, TrainingHistory, decide
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord, read_cursor, write_cursor
from transak_drift.trigger.intake import records_to_write, take_in
from transak_drift.trigger.message import ReceivedMessage
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, monitoring_result

LEASE_SECONDS = 60.0


@dataclass(slots=True)
class StoredMessage:
    """A message in the subscription, with its newest delivery."""

    body: bytes
    deliveries: int = 0
    leased_until: float = 0.0
    acknowledged: bool = False


class Subscription:
    """A Pub/Sub subscription without exactly-once delivery; times in seconds."""

    def __init__(self) -> None:
        self.messages: dict[str, StoredMessage] = {}
        self.seconds = 0.0

    def publish(self, body: bytes) -> str:
        message_id = str(len(self.messages) + 1)
        self.messages[message_id] = StoredMessage(body)
        return message_id

    def pull(
        self, maximum: int, shuffle: Callable[[list[str]], None], *, even_if_leased: bool
    ) -> list[ReceivedMessage]:
        """Deliver messages; one that is leased or acknowledged only as at-least-once allows."""
        ready = [
            message_id
            for message_id, message in self.messages.items()
            if even_if_leased or (not message.acknowledged and message.leased_until <= self.seconds)
        ]
        shuffle(ready)
        return [self._deliver(message_id) for message_id in ready[:maximum]]

    def _deliver(self, message_id: str) -> ReceivedMessage:
        message = self.messages[message_id]
        message.deliveries += 1
        message.leased_until = self.seconds + LEASE_SECONDS
        return ReceivedMessage(message_id, f"{message_id}/{message.deliveries}", message.body)

    def acknowledge(self, ack_id: str) -> str | None:
        """Settle a message and return its id; an expired or superseded ack id does nothing."""
        message_id, delivery = ack_id.split("/")
        message = self.messages[message_id]
        if int(delivery) != message.deliveries or message.leased_until <= self.seconds:
            return None
        message.acknowledged = True
        return message_id


@dataclass(slots=True)
class Run:
    """A training run in Dagster's run storage."""

    key: str
    window_end: datetime
    created: datetime
    launches: int = 0
    is_finished: bool = False


class Platform:
    """The platform's answers: the jobs of one monitor, or an error."""

    def __init__(self, monitor: str, *projects: str) -> None:
        self.monitor = monitor
        self.projects = frozenset(projects)
        self.jobs: dict[str, MonitoringJob] = {}
        self.is_out = False
        self.job_error: Exception | None = None
        self.asked = 0

    def put(
        self,
        job: str,
        distances: Mapping[str, float | None],
        end: datetime = MAY_1 + timedelta(days=1),
        state: JobState = JobState.SUCCEEDED,
    ) -> None:
        done = state == JobState.SUCCEEDED
        result = monitoring_result(job, distances, end=end) if done else None
        name, detail = f"name of {job}", "its data are gone" if state == JobState.FAILED else ""
        self.jobs[job] = MonitoringJob(name, self.monitor, job, state, detail, result)

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        self._answer()
        projects = self.projects or frozenset({config.project_id})
        return OwnMonitors(projects, config.location, (self.monitor,))

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        raise NotImplementedError

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        self._answer()
        self.asked += 1
        if self.job_error is not None:
            raise self.job_error
        missing = MonitoringJob("name", model_monitor_id, monitoring_job_id, JobState.MISSING, "-")
        return self.jobs.get(monitoring_job_id, missing)

    def _answer(self) -> None:
        if self.is_out:
            raise TemporaryPlatformError("the platform does not answer")


class Write(Enum):
    """What a tick makes durable, in this order."""

    DEAD_LETTER = "dead letter"
    RECORD = "record"
    ACKNOWLEDGEMENT = "acknowledgement"
    REQUESTS = "requests"
    RUN = "run"
    LAUNCH = "launch"
    CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in one tick."""

    # The daemon is killed before a write of this kind, after so many of them, ...
    dies_before: Write | None = None
    after: int = 0
    # ... and comes back too late to resume the tick.
    stays_away: bool = False
    loses_acknowledgements: bool = False
    # Pub/Sub delivers again what is leased or acknowledged.
    delivers_anything: bool = False
    # Runs are created, but cannot be launched.
    launches_fail: bool = False
    # The sensor is switched off after so many run requests.
    submits_at_most: int | None = None
    # The platform does not answer, or there is no time to ask it.
    is_out: bool = False
    has_no_time: bool = False
    # Somebody resets the cursor before the tick.
    loses_cursor: bool = False


class DaemonDied(Exception):  # noqa: N818 - a power cut is no error of the program
    """The daemon was killed before its next durable write."""


def quiet_window(job: MonitoringJob) -> QuietWindow:
    """Return what a finished job found to be without drift."""
    assert job.result is not None
    assert job.result.window_end is not None
    features = [item for item in job.result.features if not item.drifted]
    quiet = frozenset((item.feature, item.objective) for item in features)
    return QuietWindow(job.result.window_end, quiet)


@dataclass
class TriggerWorld:
    """Everything durable, and the one sensor that works on it."""

    config: MonitoringConfig
    subscription: Subscription = field(default_factory=Subscription)
    now: datetime = MAY_1 + timedelta(days=30)
    cursor: str | None = None
    # The run requests and the cursor of a tick that a restarted daemon resumes.
    unfinished: tuple[list[DriftEvent], str] | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    log: list[list[TriggerRecord]] = field(default_factory=list)
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    trained_until: datetime | None = None
    evaluated_until: datetime | None = None
    rollback: Rollback | None = None
    # Jobs whose report is recorded.
    reported: set[str] = field(default_factory=set)
    evaluated_at: datetime | None = None
    # Ends of the data of all baselines so far.
    baselines: list[datetime] = field(default_factory=list)
    # By the key of an event that was requested, whether a person had to approve it then.
    needed_approval: dict[str, bool] = field(default_factory=dict)
    # Jobs whose window lacks labels, and by key whether it did when its training was requested.
    unlabelled: set[str] = field(default_factory=set)
    lacked_labels: dict[str, bool] = field(default_factory=dict)
    fault: Fault = Fault()
    writes: Counter[Write] = field(default_factory=Counter)
    deaths: int = 0
    on_acknowledged: Callable[[str], None] = lambda message_id: None

    def __post_init__(self) -> None:
        self.platform = Platform(self.config.model_monitor_id)

    def inbox(self) -> Inbox:
        """What the event log holds."""
        inbox = Inbox()
        self._catch_up(inbox)
        return inbox

    def records(self) -> list[TriggerRecord]:
        """Every record, oldest first."""
        return [record for records in self.log for record in records]

    def history(self) -> TrainingHistory:
        unfinished = [run for run in self.runs.values() if not run.is_finished]
        return TrainingHistory(
            in_flight=len(unfinished),
            last_start=max((run.created for run in self.runs.values()), default=None),
            runs={key: run.launches > 0 for key, run in self.runs.items()},
            baseline_until=self.trained_until,
            evaluated_until=self.evaluated_until,
            rollback=self.rollback,
            quiet=[quiet_window(self.platform.jobs[job]) for job in sorted(self.reported)],
            evaluated_at=self.evaluated_at,
            baselines=self.baselines,
        )

    def decision(self, name: str, decision: Decision, by: str) -> list[TriggerRecord]:
        """Return what a person would record now, which may be written later; or nothing."""
        log = self.records()
        try:
            _, key = find_event({"model": log}, name)
            return decision_records(log, key, decision, "a reason", by, self.now)
        except UndecidableError:
            return []

    def checked_labels(self) -> list[TriggerRecord]:
        """Return what `labels check` would record now, which may be written later."""
        waits, complete = OutcomeKind.AWAITING_LABELS, OutcomeKind.LABELS_COMPLETE
        return [
            TriggerRecord(
                kind=waits if event.monitoring_job_id in self.unlabelled else complete,
                key=event.key,
                detail="as counted",
                at=self.now,
                event=event,
                by=item.by,
            )
            for item, event in self.inbox().undecided()
            if item.kind == waits
        ]

    def _label_gate(self, item: TriggerRecord, event: DriftEvent) -> tuple[OutcomeKind, str] | None:
        lacks = event.monitoring_job_id in self.unlabelled
        return (OutcomeKind.AWAITING_LABELS, "some lack") if lacks else None

    def poll(self, job_id: str) -> None:
        """Do what the sensor of monitoring results does with a finished job."""
        job, inbox = self.platform.jobs[job_id], self.inbox()
        event = drift_event_of(job, job.result, self.config) if job.result else None
        if event is not None and not inbox.knows(event.key):
            drift = OutcomeKind.DRIFT
            record = TriggerRecord(kind=drift, key=event.key, detail="", at=self.now, event=event)
            self.log.append([record])

    def tick(
        self, maximum: int, shuffle: Callable[[list[str]], None], fault: Fault | None = None
    ) -> bool:
        """Run one tick of the daemon; False when it died or only resumed an earlier tick."""
        self.fault = fault or Fault()
        self.writes.clear()
        self.platform.is_out = self.fault.is_out
        if self.fault.loses_cursor:
            self.cursor = None
        try:
            if self.unfinished is not None:
                self._submit(*self.unfinished)
                return False
            requests, cursor = self._evaluate(maximum, shuffle)
            if requests:
                self._write(Write.REQUESTS)
                self.unfinished = (requests, cursor)
                self._submit(requests, cursor)
            else:
                self._write(Write.CURSOR)
                self.cursor = cursor
        except DaemonDied:
            self.deaths += 1
            if self.fault.stays_away:
                self.unfinished = None
            return False
        return True

    def _evaluate(
        self, maximum: int, shuffle: Callable[[list[str]], None]
    ) -> tuple[list[DriftEvent], str]:
        inboxes = {MONITOR: read_cursor(self.cursor).get(MONITOR, Inbox())}
        inbox = inboxes[MONITOR]
        self._catch_up(inbox)
        messages = self.subscription.pull(
            maximum, shuffle, even_if_leased=self.fault.delivers_anything
        )
        models, has_time = [(self.config, self.platform)], not self.fault.has_no_time
        assessor = Assessor(models, self.now, may_ask=lambda: has_time)
        outcomes, _ = take_in(messages, assessor.assess, inboxes, [self.config], self.now)
        for message, reason, _ in (item.dead_letter for item in outcomes if item.dead_letter):
            self._write(Write.DEAD_LETTER)
            self.dead_letters.append((message.message_id, reason))
        for _, records in records_to_write(outcomes):
            self._record(inbox, records)
        for ack_id in (ack_id for item in outcomes for ack_id in item.ack_ids):
            self._write(Write.ACKNOWLEDGEMENT)
            if not self.fault.loses_acknowledgements:
                message_id = self.subscription.acknowledge(ack_id)
                if message_id is not None:
                    self.on_acknowledged(message_id)
        policy, history = self.config.retrain_policy, self.history()
        gates = [self._label_gate]
        steps, requests = decide(inbox, policy, history, self.now, lambda event: event, gates)
        for step in steps:
            self._record(inbox, [step])
            if step.kind == OutcomeKind.TRAINING_REQUESTED:
                self.needed_approval.setdefault(step.key, policy.approval == "manual")
                job = step.key.rpartition("/")[2]
                self.lacked_labels.setdefault(step.key, job in self.unlabelled)
        return requests, write_cursor(inboxes)

    def _record(self, inbox: Inbox, records: list[TriggerRecord]) -> None:
        self._write(Write.RECORD)
        # As JSON, which is how the event log has them.
        self.log.append([TriggerRecord.model_validate_json(r.model_dump_json()) for r in records])
        inbox.add(records)

    def _catch_up(self, inbox: Inbox) -> None:
        # The newest records are read again, as where they may have appeared late.
        for records in self.log[max(inbox.read_until - 7, 0) :]:
            inbox.add(records)
        inbox.read_until = len(self.log)

    def _submit(self, requests: list[DriftEvent], cursor: str) -> None:
        for position, event in enumerate(requests):
            key = event.key
            if position == self.fault.submits_at_most:
                # Dagster then drops the rest of the requests and keeps the cursor.
                break
            if key not in self.runs:
                self._write(Write.RUN)
                self.runs[key] = Run(key, event.window_end, self.now)
            run = self.runs[key]
            if not run.launches and not self.fault.launches_fail:
                self._write(Write.LAUNCH)
                run.launches += 1
        self._write(Write.CURSOR)
        self.cursor = cursor
        self.unfinished = None

    def _write(self, kind: Write) -> None:
        if kind == self.fault.dies_before and self.writes[kind] == self.fault.after:
            raise DaemonDied
        self.writes[kind] += 1
