"""What a tick does with the messages it pulled: the guarantees of the trigger, without any I/O.

A message is acknowledged only after its outcome is durable. A tick requests runs; a later tick
sees them in run storage and only then acknowledges. In between the lease is extended. Whatever
dies in between, the message is delivered again, and the event's key makes the repeat harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from transak_drift.core.config import RetrainPolicy
from transak_drift.core.drift_event import DriftEvent, merge_events
from transak_drift.core.message_assessment import Assessment, Drift, NotDrift, Rejected
from transak_drift.core.messages import ReceivedMessage
from transak_drift.core.retrain_policy import TrainingHistory, drift_still_stands, hold_back
from transak_drift.core.trigger_state import HeldEvent, RequestedEvent, TriggerState

MOST_HELD_EVENTS = 1_000


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
    history: TrainingHistory,
    policy: RetrainPolicy,
    now: datetime,
) -> TickPlan:
    """Decide what to do with the messages of one tick.

    Args:
        state: what the last tick remembered.
        assessed: the pulled messages, in the order of delivery, each with its assessment.
        runs: the training runs of every event in `state` and `assessed`.
        history: the trainings so far, without requests whose run is not created yet.
        policy: the retrain policy.
        now: the present time, UTC.

    Returns:
        The plan.
    """
    plan = TickPlan(acknowledge=list(state.recorded.values()))
    requested = _settle_requests(state, runs, plan)
    held = {key: entry.model_copy() for key, entry in state.held.items()}
    candidates, recorded = _sort_messages(assessed, state, runs, requested, held, plan)
    _decide(candidates, requested, held, recorded, runs, history, policy, now, plan)
    for entry in requested.values():
        plan.extend.extend(entry.messages.values())
    plan.state = TriggerState(requested=requested, held=held, recorded=recorded)
    return plan


def events_to_look_up(
    state: TriggerState, assessed: Sequence[tuple[ReceivedMessage, Assessment]]
) -> set[str]:
    """Return the keys of all drift events whose runs a tick must know of."""
    pulled = {item.event.key for _, item in assessed if isinstance(item, Drift)}
    return pulled | set(state.requested) | set(state.held)


def _settle_requests(
    state: TriggerState, runs: RunStorage, plan: TickPlan
) -> dict[str, RequestedEvent]:
    waiting: dict[str, RequestedEvent] = {}
    for key, entry in state.requested.items():
        if key in runs.launched:
            plan.acknowledge.extend(entry.messages.values())
        else:
            # The request may have died with its daemon; the run key makes a repeat harmless.
            waiting[key] = entry.model_copy(deep=True)
            plan.request.append(entry.event)
    return waiting


def _sort_messages(
    assessed: Sequence[tuple[ReceivedMessage, Assessment]],
    state: TriggerState,
    runs: RunStorage,
    requested: dict[str, RequestedEvent],
    held: dict[str, HeldEvent],
    plan: TickPlan,
) -> tuple[dict[str, RequestedEvent], dict[str, str]]:
    candidates: dict[str, RequestedEvent] = {}
    recorded: dict[str, str] = {}
    duplicates: Counter[str] = Counter()
    known: dict[str, DriftEvent] = {}
    for message, assessment in assessed:
        if message.message_id in state.recorded:
            # Its outcome is durable already; only the acknowledgement came too late.
            plan.acknowledge.append(message.ack_id)
            continue
        match assessment:
            case Rejected():
                plan.dead_letters.append(DeadLetter(message, assessment))
            case NotDrift(event):
                recorded[message.message_id] = message.ack_id
                plan.outcomes.append(Outcome(OutcomeKind.NOT_DRIFT, event, describe(event)))
            case Drift(event):
                known[event.key] = event
                if event.key in runs.launched:
                    plan.acknowledge.append(message.ack_id)
                    duplicates[event.key] += 1
                    continue
                group = requested.get(event.key) or candidates.get(event.key)
                if group is not None:
                    if message.message_id not in group.messages:
                        duplicates[event.key] += 1
                    group.event = merge_events(group.event, event)
                    group.messages[message.message_id] = message.ack_id
                elif event.key in held:
                    entry = held[event.key]
                    entry.event = merge_events(entry.event, event)
                    recorded[message.message_id] = message.ack_id
                    duplicates[event.key] += 1
                else:
                    candidates[event.key] = RequestedEvent(
                        event=event, messages={message.message_id: message.ack_id}
                    )
    for key, count in duplicates.items():
        detail = f"{count} further message(s) of the same drift event"
        plan.outcomes.append(Outcome(OutcomeKind.DUPLICATE, known[key], detail, count))
    return candidates, recorded


def _decide(
    candidates: Mapping[str, RequestedEvent],
    requested: dict[str, RequestedEvent],
    held: dict[str, HeldEvent],
    recorded: dict[str, str],
    runs: RunStorage,
    history: TrainingHistory,
    policy: RetrainPolicy,
    now: datetime,
    plan: TickPlan,
) -> None:
    in_flight = history.in_flight + sum(1 for key in requested if key not in runs.created)
    last_start = history.last_start

    def history_now() -> TrainingHistory:
        return TrainingHistory(in_flight, last_start, history.trained_until)

    for key, entry in list(held.items()):
        if key in runs.launched:
            del held[key]
            continue
        if not drift_still_stands(entry.event.window_end, history):
            del held[key]
            detail = (
                f"a later training reached {history.trained_until:%Y-%m-%d %H:%M} UTC and made it "
                "the baseline"
            )
            plan.outcomes.append(Outcome(OutcomeKind.SUPERSEDED, entry.event, detail, 0))
            continue
        if hold_back(len(entry.event.anomalies), policy, history_now(), now) is None:
            del held[key]
            requested[key] = RequestedEvent(event=entry.event)
            plan.request.append(entry.event)
            plan.outcomes.append(_requested(entry.event, 0))
            in_flight, last_start = in_flight + 1, now
    for key, group in candidates.items():
        hold = hold_back(len(group.event.anomalies), policy, history_now(), now)
        if hold is None:
            requested[key] = group
            plan.request.append(group.event)
            plan.outcomes.append(_requested(group.event, 1))
            in_flight, last_start = in_flight + 1, now
        elif len(held) < MOST_HELD_EVENTS:
            held[key] = HeldEvent(event=group.event, reason=hold.reason, since=now)
            recorded.update(group.messages)
            plan.outcomes.append(Outcome(OutcomeKind.HELD, group.event, hold.reason))
        else:
            # Left unacknowledged: Pub/Sub keeps it and delivers it again.
            detail = f"{MOST_HELD_EVENTS} drift events are held already"
            plan.outcomes.append(Outcome(OutcomeKind.DEFERRED, group.event, detail))


def _requested(event: DriftEvent, messages: int) -> Outcome:
    return Outcome(OutcomeKind.TRAINING_REQUESTED, event, describe(event), messages)


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
