"""What a tick does with the messages it pulled: the guarantees of the trigger, without any I/O.

A message is acknowledged only after its outcome is durable. A tick requests runs; a later tick
sees them in run storage and only then acknowledges. In between the lease is extended. Whatever
dies in between, the message is delivered again, and the event's key makes the repeat harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.drift_event import DriftEvent, merge_events
from transak_drift.trigger.message_assessment import Assessment, Drift, NotDrift, Rejected
from transak_drift.trigger.messages import ReceivedMessage
from transak_drift.trigger.retrain_policy import (
    Hold,
    TrainingHistory,
    drift_still_stands,
    hold_back,
    is_past,
)
from transak_drift.trigger.trigger_state import HeldEvent, RequestedEvent, TriggerState

MOST_HELD_EVENTS = 1_000
MOST_SUPERSEDED_EVENTS = 1_000


class OutcomeKind(StrEnum):
    """What became of a drift event or message; recorded where people see it."""

    TRAINING_REQUESTED = "training requested"
    DUPLICATE = "duplicate"
    NOT_DRIFT = "not drift"
    HELD = "held"
    SUPERSEDED = "superseded"
    DEAD_LETTERED = "dead-lettered"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome, with the number of messages that shared it.

    Args:
        kind: what became of it.
        event: the drift event, or None of a message that is none.
        detail: a sentence for people.
        messages: how many messages of this tick had this outcome.
    """

    kind: OutcomeKind
    event: DriftEvent | None
    detail: str
    messages: int = 1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message to forward to the dead-letter topic.

    Args:
        message: the message as received.
        rejection: why.
    """

    message: ReceivedMessage
    rejection: Rejected


@dataclass(frozen=True, slots=True)
class RunStorage:
    """Which drift events have a training run.

    Args:
        created: keys with a run in any state.
        launched: keys with a run that has been handed over for execution; a subset of `created`.
    """

    created: Set[str] = frozenset()
    launched: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelTrainings:
    """What decides on the trainings of one monitored model.

    Args:
        policy: its retrain policy.
        history: its trainings so far: the runs that are created, in any state. Requests whose run
            is not created yet are added from the tick's state.
    """

    policy: RetrainPolicy
    history: TrainingHistory


@dataclass(slots=True)
class TickPlan:
    """What the tick has to do, in this order, and what it remembers.

    Args:
        acknowledge: ack ids of messages whose outcome is durable.
        dead_letters: messages to forward, then acknowledge.
        extend: ack ids whose lease must last until the next tick.
        request: drift events to request a training run for, each with its key as run key.
        outcomes: what to record.
        state: the state for the next tick.
    """

    acknowledge: list[str] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    extend: list[str] = field(default_factory=list)
    request: list[DriftEvent] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    state: TriggerState = field(default_factory=TriggerState)

    def sentence(self, pulled: int) -> str:
        """Tell in one sentence what the tick did.

        Args:
            pulled: how many messages the tick pulled.

        Returns:
            For example `3 messages: 1 training requested, 1 duplicate, 1 dead-lettered (not_json)`.
        """
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            counts[outcome.kind.value] += max(outcome.messages, 1)
        parts = [f"{count} {kind}" for kind, count in sorted(counts.items())]
        if self.dead_letters:
            reasons = Counter(str(letter.rejection.reason) for letter in self.dead_letters)
            named = ", ".join(sorted(reasons))
            parts.append(f"{len(self.dead_letters)} {OutcomeKind.DEAD_LETTERED} ({named})")
        if self.acknowledge:
            parts.append(f"{len(self.acknowledge)} acknowledged")
        messages = f"{pulled} message" + ("" if pulled == 1 else "s")
        return f"{messages}: {', '.join(parts)}" if parts else f"{messages}, nothing to do"


def plan_tick(
    state: TriggerState,
    assessed: Sequence[tuple[ReceivedMessage, Assessment]],
    runs: RunStorage,
    models: Mapping[str, ModelTrainings],
    now: datetime,
) -> TickPlan:
    """Decide what to do with the messages of one tick.

    Args:
        state: what the last tick remembered.
        assessed: the pulled messages, in the order of delivery, each with its assessment.
        runs: the training runs of every event that `events_to_look_up` names.
        models: by id of its ModelMonitor, every model that the messages were assessed for.
        now: the present time, UTC.

    Returns:
        The plan. Events that `state` has of a model which is monitored no longer are held.
    """
    tick = _Tick(state, runs, models, now)
    # A message delivered twice in one pull is settled once, by its newest ack id.
    newest = {message.message_id: (message, assessment) for message, assessment in assessed}
    for message, assessment in newest.values():
        tick.sort(message, assessment)
    tick.hold_events_without_model()
    tick.count_duplicates()
    tick.request_again()
    tick.look_at_held_events()
    tick.decide_candidates()
    return tick.finish()


def events_to_look_up(
    state: TriggerState, assessed: Sequence[tuple[ReceivedMessage, Assessment]]
) -> set[str]:
    """Return the keys of all drift events whose runs a tick must know of."""
    pulled = {item.event.key for _, item in assessed if isinstance(item, Drift)}
    return pulled | set(state.requested) | set(state.held)


class _Tick:
    """One tick while it is planned; its methods are called in the order of their definition."""

    def __init__(
        self,
        state: TriggerState,
        runs: RunStorage,
        models: Mapping[str, ModelTrainings],
        now: datetime,
    ) -> None:
        self._state = state
        self._runs = runs
        self._models = models
        self._now = now
        self._plan = TickPlan(acknowledge=list(state.recorded.values()))
        self._requested: dict[str, RequestedEvent] = {}
        for key, entry in state.requested.items():
            if key in runs.launched:
                self._plan.acknowledge += entry.messages.values()
            else:
                self._requested[key] = entry.model_copy(deep=True)
        self._held = {key: entry.model_copy() for key, entry in state.held.items()}
        self._superseded = dict.fromkeys(state.superseded)
        self._recorded: dict[str, str] = {}
        self._candidates: dict[str, RequestedEvent] = {}
        self._duplicates: dict[str, tuple[DriftEvent, int]] = {}
        self._histories = {monitor: model.history for monitor, model in models.items()}
        for key, entry in self._requested.items():
            if key not in runs.created:
                self._count_start(entry.event, entry.since)

    def sort(self, message: ReceivedMessage, assessment: Assessment) -> None:
        if message.message_id in self._state.recorded:
            # Its outcome is durable already; only the acknowledgement came too late.
            self._plan.acknowledge.append(message.ack_id)
            return
        match assessment:
            case Rejected():
                self._plan.dead_letters.append(DeadLetter(message, assessment))
            case NotDrift(event):
                self._recorded[message.message_id] = message.ack_id
                self._record(OutcomeKind.NOT_DRIFT, event, describe(event))
            case Drift(event):
                self._sort_drift(message, event)

    def _sort_drift(self, message: ReceivedMessage, event: DriftEvent) -> None:
        key = event.key
        group = self._requested.get(key) or self._candidates.get(key)
        if key in self._runs.launched or key in self._superseded:
            self._plan.acknowledge.append(message.ack_id)
            waiting = self._state.requested.get(key)
            if waiting is None or message.message_id not in waiting.messages:
                self._add_duplicate(key, event)
        elif group is not None:
            if message.message_id not in group.messages:
                self._add_duplicate(key, event)
            # Copies of one body share their event, which a burst would compare in full each time.
            if event is not group.event and event != group.event:
                group.event = merge_events(group.event, event)
            group.messages[message.message_id] = message.ack_id
        elif key in self._held:
            self._held[key].event = merge_events(self._held[key].event, event)
            self._recorded[message.message_id] = message.ack_id
            self._add_duplicate(key, event)
        else:
            self._candidates[key] = RequestedEvent(
                event=event, since=self._now, messages={message.message_id: message.ack_id}
            )

    def _add_duplicate(self, key: str, event: DriftEvent) -> None:
        _, count = self._duplicates.get(key, (event, 0))
        self._duplicates[key] = (event, count + 1)

    def count_duplicates(self) -> None:
        for event, count in self._duplicates.values():
            detail = f"{count} further message(s) of the same drift event"
            self._record(OutcomeKind.DUPLICATE, event, detail, count)

    def hold_events_without_model(self) -> None:
        # The job of a model that was taken out is gone too: a request would fail every later tick.
        for key, entry in list(self._requested.items()):
            if entry.event.model_monitor_id not in self._models:
                del self._requested[key]
                reason = _no_longer_monitored(entry.event)
                self._held[key] = HeldEvent(event=entry.event, reason=reason, since=entry.since)
                self._recorded.update(entry.messages)
                self._record(OutcomeKind.HELD, entry.event, reason, 0)

    def request_again(self) -> None:
        # The request may have died with its daemon; the run key makes a repeat harmless.
        self._plan.request += [entry.event for entry in self._requested.values()]

    def look_at_held_events(self) -> None:
        for key, entry in _newest_window_first(self._held):
            if key in self._runs.launched:
                del self._held[key]
            elif (answer := self._answer(entry.event)) is not None:
                del self._held[key]
                self._superseded[key] = None
                self._record(OutcomeKind.SUPERSEDED, entry.event, answer, 0)
            elif (hold := self._hold(entry.event)) is not None:
                entry.reason = hold.reason
            else:
                del self._held[key]
                request = RequestedEvent(event=entry.event, since=self._now)
                self._request(request, messages=0)

    def decide_candidates(self) -> None:
        for key, group in self._candidates.items():
            hold = self._hold(group.event)
            if hold is None:
                self._request(group, messages=1)
            elif len(self._held) < MOST_HELD_EVENTS:
                self._held[key] = HeldEvent(event=group.event, reason=hold.reason, since=self._now)
                self._recorded.update(group.messages)
                self._record(OutcomeKind.HELD, group.event, hold.reason)
            else:
                # Left unacknowledged: Pub/Sub keeps it and delivers it again.
                detail = f"{MOST_HELD_EVENTS} drift events are held already"
                self._record(OutcomeKind.DEFERRED, group.event, detail)

    def _answer(self, event: DriftEvent) -> str | None:
        """Tell which training has answered a held event, or None while its drift stands."""
        history = self._histories.get(event.model_monitor_id)
        if history is None or event.key in self._runs.created:
            return None
        if history.trained_until is not None and not drift_still_stands(event.window_end, history):
            return (
                f"a later training reached {history.trained_until:%Y-%m-%d %H:%M} UTC "
                "and made it the baseline"
            )
        if history.judged_until is not None and is_past(event.window_end, history):
            return f"a training on data until {history.judged_until:%Y-%m-%d %H:%M} UTC has ended"
        return None

    def _hold(self, event: DriftEvent) -> Hold | None:
        model = self._models.get(event.model_monitor_id)
        if model is None:
            return Hold(_no_longer_monitored(event), None)
        if event.key in self._runs.created:
            # Requested by a tick whose cursor was lost: its own run must not hold it back.
            return None
        history = self._histories[event.model_monitor_id]
        return hold_back(len(event.anomalies), model.policy, history, self._now)

    def _request(self, entry: RequestedEvent, *, messages: int) -> None:
        event = entry.event
        self._requested[event.key] = entry
        self._plan.request.append(event)
        self._record(OutcomeKind.TRAINING_REQUESTED, event, describe(event), messages)
        if event.key not in self._runs.created:
            self._count_start(event, self._now)

    def _count_start(self, event: DriftEvent, start: datetime) -> None:
        history = self._histories.get(event.model_monitor_id)
        if history is not None:
            self._histories[event.model_monitor_id] = replace(
                history,
                in_flight=history.in_flight + 1,
                last_start=max(start, history.last_start or start),
            )

    def _record(self, kind: OutcomeKind, event: DriftEvent, detail: str, messages: int = 1) -> None:
        self._plan.outcomes.append(Outcome(kind, event, detail, messages))

    def finish(self) -> TickPlan:
        self._plan.extend += self._recorded.values()
        for entry in self._requested.values():
            self._plan.extend += entry.messages.values()
        self._plan.state = TriggerState(
            requested=self._requested,
            held=self._held,
            recorded=self._recorded,
            superseded=list(self._superseded)[-MOST_SUPERSEDED_EVENTS:],
        )
        return self._plan


def _newest_window_first(held: Mapping[str, HeldEvent]) -> list[tuple[str, HeldEvent]]:
    """Order held events so that the next training answers as many as it can.

    A training learns from the days up to its event's window, so that the newest answers the
    older ones; of equal windows the one that came first is the first.
    """
    return sorted(held.items(), key=lambda item: item[1].event.window_end, reverse=True)


def _no_longer_monitored(event: DriftEvent) -> str:
    return (
        f"{event.model_monitor_id} is monitored no longer; it is decided again once its "
        "configuration is back"
    )


def describe(event: DriftEvent) -> str:
    """Tell an event's features, distances and thresholds in a line for people."""
    return ", ".join(
        f"{a.feature} {a.deviation:.4f}"
        + (
            ""
            if a.threshold is None
            else f" ({'>' if a.deviation > a.threshold else '<='} {a.threshold:g})"
        )
        for a in event.anomalies
    )
