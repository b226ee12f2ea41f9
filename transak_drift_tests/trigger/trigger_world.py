"""A model of what surrounds the trigger's plan: Pub/Sub, Dagster's daemon and storage, a clock.

It models what each may do at its worst and still be what its documentation says: Pub/Sub delivers
at least once, in any order, and may lose an acknowledgement ("Pub/Sub: Subscription overview");
the daemon dies between any two durable writes, and then resumes a tick whose run requests it had
stored, or, when it was away for long, evaluates afresh (`dagster._daemon.sensor`). Bodies are real
and go through the real assessment; the cursor is real text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from transak_drift.trigger.message_assessment import assess_message
from transak_drift.trigger.trigger_plan import (
    ModelTrainings,
    Outcome,
    RunStorage,
    TickPlan,
    events_to_look_up,
    plan_tick,
)
from transak_drift.trigger.trigger_state import TriggerState

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.trigger.message import ReceivedMessage
from transak_drift.trigger.retrain_policy import TrainingHistory
from transak_drift_tests.trigger.drift_messages import MAY_1

LEASE_SECONDS = 60.0
EXTENSION_SECONDS = 90.0


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
        received = []
        for message_id in ready[:maximum]:
            message = self.messages[message_id]
            message.deliveries += 1
            message.leased_until = self.seconds + LEASE_SECONDS
            ack_id = f"{message_id}/{message.deliveries}"
            received.append(ReceivedMessage(message_id, ack_id, message.body))
        return received

    def acknowledge(self, ack_id: str) -> str | None:
        """Settle a message and return its id; an expired or superseded ack id does nothing."""
        message_id, message = self._leased(ack_id)
        if message is None:
            return None
        message.acknowledged = True
        return message_id

    def extend(self, ack_id: str) -> None:
        _, message = self._leased(ack_id)
        if message is not None:
            message.leased_until = self.seconds + EXTENSION_SECONDS

    def _leased(self, ack_id: str) -> tuple[str, StoredMessage | None]:
        message_id, delivery = ack_id.split("/")
        message = self.messages[message_id]
        is_live = int(delivery) == message.deliveries and message.leased_until > self.seconds
        return message_id, message if is_live else None


class RunStatus(Enum):
    """The states of a Dagster run that matter here."""

    NOT_STARTED = "not started"
    LAUNCHED = "launched"
    FINISHED = "finished"


@dataclass(slots=True)
class Run:
    """A training run in Dagster's run storage."""

    event: DriftEvent
    created: datetime
    status: RunStatus = RunStatus.NOT_STARTED
    launches: int = 0


class Write(Enum):
    """What a tick makes durable, in this order."""

    DEAD_LETTER = "dead letter"
    ACKNOWLEDGEMENT = "acknowledgement"
    OUTCOME = "outcome"
    REQUESTS = "requests"
    RUN = "run"
    LAUNCH = "launch"
    CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in one tick.

    Args:
        dies_before: the daemon is killed before a write of this kind.
        after: how many writes of this kind it makes before.
        stays_away: it comes back too late to resume the tick.
        loses_acknowledgements: Pub/Sub loses each acknowledgement.
        delivers_anything: Pub/Sub delivers again what is leased or acknowledged.
        launches_fail: runs are created, but cannot be launched.
        submits_at_most: the sensor is switched off after so many run requests.
    """

    dies_before: Write | None = None
    after: int = 0
    stays_away: bool = False
    loses_acknowledgements: bool = False
    delivers_anything: bool = False
    launches_fail: bool = False
    submits_at_most: int | None = None


class DaemonDied(Exception):  # noqa: N818 - a power cut is no error of the program
    """The daemon was killed before its next durable write."""


@dataclass(slots=True)
class UnfinishedTick:
    """A tick whose run requests are stored, so that a restarted daemon resumes it."""

    requests: Sequence[DriftEvent]
    cursor: str


@dataclass(slots=True)
class TriggerWorld:
    """Everything durable, and the one sensor that works on it."""

    config: MonitoringConfig
    subscription: Subscription = field(default_factory=Subscription)
    now: datetime = MAY_1 + timedelta(days=30)
    cursor: str | None = None
    unfinished: UnfinishedTick | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    trained_until: datetime | None = None
    fault: Fault = Fault()
    writes: Counter[Write] = field(default_factory=Counter)
    deaths: int = 0
    on_acknowledged: Callable[[str], None] = lambda message_id: None

    @property
    def state(self) -> TriggerState:
        """What the next evaluation of the sensor will remember."""
        return TriggerState.from_cursor(self.cursor)

    def history(self) -> TrainingHistory:
        unfinished = [run for run in self.runs.values() if run.status != RunStatus.FINISHED]
        return TrainingHistory(
            in_flight=len(unfinished),
            last_start=max((run.created for run in self.runs.values()), default=None),
            trained_until=self.trained_until,
        )

    def tick(
        self, maximum: int, shuffle: Callable[[list[str]], None], fault: Fault | None = None
    ) -> TickPlan | None:
        """Run one tick of the daemon; None when it died or only resumed an earlier tick."""
        self.fault = fault or Fault()
        self.writes.clear()
        try:
            if self.unfinished is not None:
                self._submit(self.unfinished)
                return None
            plan = self._evaluate(maximum, shuffle)
            for outcome in plan.outcomes:
                self._write(Write.OUTCOME)
                self.outcomes.append(outcome)
            cursor = plan.state.to_cursor()
            if plan.request:
                self._write(Write.REQUESTS)
                self.unfinished = UnfinishedTick(tuple(plan.request), cursor)
                self._submit(self.unfinished)
            else:
                self._write(Write.CURSOR)
                self.cursor = cursor
        except DaemonDied:
            self.deaths += 1
            if self.fault.stays_away:
                self.unfinished = None
            return None
        return plan

    def _evaluate(self, maximum: int, shuffle: Callable[[list[str]], None]) -> TickPlan:
        state = self.state
        messages = self.subscription.pull(
            maximum, shuffle, even_if_leased=self.fault.delivers_anything
        )
        assessed = [(message, assess_message(message.data, self.config)) for message in messages]
        keys = events_to_look_up(state, assessed)
        runs = RunStorage(
            created={key for key in keys if key in self.runs},
            launched={
                key
                for key in keys
                if key in self.runs and self.runs[key].status != RunStatus.NOT_STARTED
            },
        )
        plan = plan_tick(
            state,
            assessed,
            runs,
            {
                self.config.model_monitor_id: ModelTrainings(
                    self.config.retrain_policy, self.history()
                )
            },
            self.now,
        )
        for letter in plan.dead_letters:
            self._write(Write.DEAD_LETTER)
            self.dead_letters.append((letter.message.message_id, letter.rejection.reason))
            self._acknowledge(letter.message.ack_id)
        for ack_id in plan.acknowledge:
            self._acknowledge(ack_id)
        for ack_id in plan.extend:
            self.subscription.extend(ack_id)
        return plan

    def _acknowledge(self, ack_id: str) -> None:
        self._write(Write.ACKNOWLEDGEMENT)
        if self.fault.loses_acknowledgements:
            return
        message_id = self.subscription.acknowledge(ack_id)
        if message_id is not None:
            self.on_acknowledged(message_id)

    def _submit(self, tick: UnfinishedTick) -> None:
        for position, event in enumerate(tick.requests):
            if position == self.fault.submits_at_most:
                # Dagster then drops the rest of the requests and keeps the cursor.
                break
            if event.key not in self.runs:
                self._write(Write.RUN)
                self.runs[event.key] = Run(event, self.now)
            run = self.runs[event.key]
            if run.status == RunStatus.NOT_STARTED and not self.fault.launches_fail:
                self._write(Write.LAUNCH)
                run.status = RunStatus.LAUNCHED
                run.launches += 1
        self._write(Write.CURSOR)
        self.cursor = tick.cursor
        self.unfinished = None

    def _write(self, kind: Write) -> None:
        if kind == self.fault.dies_before and self.writes[kind] == self.fault.after:
            raise DaemonDied
        self.writes[kind] += 1
