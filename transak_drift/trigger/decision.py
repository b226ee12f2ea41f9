"""Drift event to decision: which open events train now, without any I/O."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import datetime

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.trigger.inbox import Inbox, OpenEvent, OutcomeKind
from transak_drift.trigger.retrain_policy import TrainingHistory, answered_by, hold_back


@dataclass(frozen=True, slots=True)
class TrainingRuns:
    """Which drift events have a training run, by key: created at all, and handed over to run."""

    created: Set[str] = frozenset()
    launched: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step of an open event; the detail is empty where what drifted says it all."""

    kind: OutcomeKind
    key: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is decided at one moment.

    Args:
        steps: what is recorded, before anything is requested.
        request: keys of the events to request a training run for, each with its key as run key;
            those of earlier ticks whose run is not there yet are requested again.
        held: how many events are held back.
    """

    steps: tuple[Decision, ...]
    request: tuple[str, ...]
    held: int


def decide(
    inbox: Inbox,
    policy: RetrainPolicy,
    history: TrainingHistory,
    runs: TrainingRuns,
    now: datetime,
) -> Decisions:
    """Decide on every open drift event of a model.

    Held events come first, the newest window first, since a training learns from the days up to
    its event's window and so answers the older ones; then new events in the order of their record.

    Args:
        inbox: what is open.
        policy: the model's retrain policy.
        history: its trainings so far: the runs that are created, in any state.
        runs: the training runs of the open events.
        now: the present time, UTC.

    Returns:
        The decisions. An event that raises has a step `failed` with its error; the others go on.
    """
    undecided = inbox.undecided()
    unseen = {
        key
        for key, item in undecided.items()
        if item.kind == OutcomeKind.TRAINING_REQUESTED and key not in runs.created
    }
    if unseen:
        in_flight = history.in_flight + len(unseen)
        history = replace(history, in_flight=in_flight, last_start=now)
    held = [(key, item) for key, item in undecided.items() if item.kind == OutcomeKind.HELD]
    held.sort(key=lambda pair: pair[1].window_end or now, reverse=True)
    others = [(key, item) for key, item in undecided.items() if item.kind != OutcomeKind.HELD]
    steps: list[Decision] = []
    request: list[str] = []
    still_held = 0
    for key, item in [*held, *others]:
        try:
            kind, detail = _next_step(key, item, policy, history, runs, now)
        except Exception as error:
            kind, detail = OutcomeKind.FAILED, f"{type(error).__name__}: {error}"[:500]
        if kind == OutcomeKind.TRAINING_REQUESTED:
            request.append(key)
            if key not in runs.created and key not in unseen:
                history = replace(history, in_flight=history.in_flight + 1, last_start=now)
        still_held += kind == OutcomeKind.HELD
        is_known_error = kind == OutcomeKind.FAILED and detail == item.error
        if kind != item.kind and not is_known_error:
            steps.append(Decision(kind, key, detail))
    return Decisions(tuple(steps), tuple(request), still_held)


def _next_step(
    key: str,
    item: OpenEvent,
    policy: RetrainPolicy,
    history: TrainingHistory,
    runs: TrainingRuns,
    now: datetime,
) -> tuple[OutcomeKind, str]:
    if key in runs.launched:
        return OutcomeKind.TRAINING_STARTED, "its training run is in Dagster's run storage"
    if item.kind == OutcomeKind.TRAINING_REQUESTED or key in runs.created:
        # Its own run must not hold it back.
        return OutcomeKind.TRAINING_REQUESTED, ""
    assert item.window_end is not None
    if item.kind == OutcomeKind.HELD:
        answer = answered_by(item.window_end, history)
        if answer is not None:
            return OutcomeKind.SUPERSEDED, answer
    reason = hold_back(item.features, policy, history, now)
    if reason is not None:
        return OutcomeKind.HELD, reason
    return OutcomeKind.TRAINING_REQUESTED, ""
