"""Drift event to decision: which open events train now, and which the retrain policy holds back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.training.rollback import Rollback
from transak_drift.trigger.inbox import HELD_BACK, Inbox, OutcomeKind, TriggerRecord

Request = TypeVar("Request")

Gate = Callable[[TriggerRecord, DriftEvent], tuple[OutcomeKind, str] | None]
"""Says what an open event, with its newest step, waits for and why, or None to let it pass."""


@dataclass(frozen=True, slots=True)
class QuietWindow:
    """The end of a monitored window, and the features, by objective, that did not drift in it."""

    end: datetime
    features: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TrainingHistory:
    """What is known of a model's trainings when a drift event is decided; times in UTC."""

    # Requested, queued or running.
    in_flight: int = 0
    last_start: datetime | None = None
    # End of the data of the baseline, and of the newest finished training, promoted or not.
    baseline_until: datetime | None = None
    evaluated_until: datetime | None = None
    # When the newest training finished.
    evaluated_at: datetime | None = None
    # A rollback after which no training has ended, and the windows in which features were without
    # drift from a baseline that is not undone.
    rollback: Rollback | None = None
    quiet: Sequence[QuietWindow] = ()
    # Ends of the data of the baselines so far that no rollback has undone.
    baselines: Sequence[datetime] = ()
    # By drift event whether its training run, which is created, was handed over to run.
    runs: Mapping[str, bool] = field(default_factory=dict)


def decide(
    inbox: Inbox,
    policy: RetrainPolicy,
    history: TrainingHistory,
    now: datetime,
    request: Callable[[DriftEvent], Request],
    gates: Sequence[Gate] = (),
) -> tuple[list[TriggerRecord], list[Request]]:
    """Return what is recorded of every open drift event of a model, then the trainings requested.

    Held events come first, the newest window first, whose training answers the older ones as well;
    then new events. With manual approval an event waits until a person has approved it; without, it
    is escalated where it must not train by itself. What passes is asked by the gates, in order, and
    then held by the rest of the policy. A request whose run is not there yet is made again. An
    event that raises, also in `request` or a gate, has a step `failed` with its error, and the
    others go on.
    """
    undecided, runs = inbox.undecided(), history.runs
    held = [pair for pair in undecided if pair[0].kind in HELD_BACK]
    held.sort(key=lambda pair: pair[1].window_end, reverse=True)
    others = [pair for pair in undecided if pair[0].kind not in HELD_BACK]
    is_manual = policy.approval == "manual"
    requested = {event.key for item, event in others if item.kind == OutcomeKind.TRAINING_REQUESTED}
    if unseen := requested - runs.keys():
        history = replace(history, in_flight=history.in_flight + len(unseen), last_start=now)
    steps: list[TriggerRecord] = []
    requests: list[Request] = []
    trained = list(inbox.trained)

    def next_step(item: TriggerRecord, event: DriftEvent) -> tuple[OutcomeKind, str]:
        if runs.get(event.key):
            return OutcomeKind.TRAINING_STARTED, "its training run is in Dagster's run storage"
        if item.kind == OutcomeKind.TRAINING_REQUESTED or event.key in runs:
            # Its own run must not hold it back.
            return OutcomeKind.TRAINING_REQUESTED, event.summary()
        waited = item.kind in HELD_BACK and (not is_manual or has_trained_since(item.at, history))
        if waited and (answer := answered_by(event.window_end, history)):
            return OutcomeKind.SUPERSEDED, answer
        if few := too_few_features(len(event.features), policy):
            # Nobody is asked about what may not train anyway.
            return OutcomeKind.HELD, few
        if is_manual and not item.by:
            return OutcomeKind.AWAITING_APPROVAL, event.summary()
        if not item.by and (reason := escalation(event, policy, history, trained)):
            return OutcomeKind.ESCALATED, reason
        for gate in gates:
            if (waits := gate(item, event)) is not None:
                return waits
        if reason := hold_back(len(event.features), policy, history, now):
            return OutcomeKind.HELD, reason
        return OutcomeKind.TRAINING_REQUESTED, event.summary()

    for item, event in [*held, *others]:
        try:
            kind, detail = next_step(item, event)
            requests += [request(event)] if kind == OutcomeKind.TRAINING_REQUESTED else []
        except Exception as error:
            kind, detail = OutcomeKind.FAILED, f"{type(error).__name__}: {error}"[:500]
        if kind == OutcomeKind.TRAINING_REQUESTED and event.key not in runs.keys() | unseen:
            history = replace(history, in_flight=history.in_flight + 1, last_start=now)
            trained.append(event)
        # What failed, or lacks labels, is recorded again where it does for another reason.
        has_reason = kind in (OutcomeKind.FAILED, OutcomeKind.AWAITING_LABELS)
        if (detail != item.detail) if has_reason else (kind != item.kind):
            step = TriggerRecord(kind=kind, key=event.key, detail=detail, at=now, event=event)
            steps.append(step.model_copy(update={"by": item.by}))
    return steps, requests


def hold_back(
    drifted_features: int, policy: RetrainPolicy, history: TrainingHistory, now: datetime
) -> str | None:
    """Say why a real drift event is held back, or None when its training may start."""
    if few := too_few_features(drifted_features, policy):
        return few
    if history.in_flight >= policy.maximum_trainings_in_flight:
        return f"{history.in_flight} training(s) in flight"
    cooldown = timedelta(minutes=policy.cooldown_minutes)
    # A start further ahead than a whole cooldown is a clock that was set back: no hold for that.
    if history.last_start is not None and history.last_start - now <= cooldown:
        end = history.last_start + cooldown
        if now < end:
            return f"cooldown until {end:%Y-%m-%d %H:%M:%S} UTC"
    return None


def too_few_features(drifted_features: int, policy: RetrainPolicy) -> str | None:
    """Say that too few features drifted for a training, or None where there are enough."""
    if drifted_features < (needed := policy.minimum_anomalous_features):
        return f"{drifted_features} drifted feature(s), the policy asks for {needed}"
    return None


def escalation(
    event: DriftEvent,
    policy: RetrainPolicy,
    history: TrainingHistory,
    trained: Sequence[DriftEvent],
) -> str | None:
    """Say why a drift event must not train by itself, given the events whose training was
    requested, or None where it may.

    The reason is the same for all events of one drift.
    """
    undone = history.rollback
    if undone is not None and event.window_end <= undone.undone_until:
        return f"{undone.summary()}; approve the event or run the job retrain, to train again"
    same = same_drift(event, trained, history.quiet, history.baselines)
    maximum = policy.maximum_trainings_per_drift
    # Of one window that is monitored again and again no training can have ended the drift.
    if len({other.window_end for other in same}) < maximum:
        return None
    drifted = ", ".join(item.feature for item in same[0].features)
    return (
        f"{maximum} trainings, the first for the window until {same[0].window_end:%Y-%m-%d %H:%M} "
        f"UTC, have answered this drift of {drifted}, and it still stands: approve the event or "
        "run the job retrain, to train once more (maximum_trainings_per_drift)"
    )


def same_drift(
    event: DriftEvent,
    trained: Sequence[DriftEvent],
    quiet: Sequence[QuietWindow],
    baselines: Sequence[datetime] = (),
) -> list[DriftEvent]:
    """Return which of the trained events of other windows are of an event's drift, in their order.

    All of its features drifted in them as well, no window between the two was without drift of
    them, and none of the baselines has learned from the earlier of the two before the later: so the
    trainings that have answered it did not end it.
    """
    features = _features_of(event)

    def is_same(other: DriftEvent) -> bool:
        first, last = sorted((other.window_end, event.window_end))
        between = (window for window in quiet if first < window.end < last)
        is_learned = any(first <= end < last for end in baselines)
        has_ended = is_learned or any(features <= window.features for window in between)
        return features <= _features_of(other) and not has_ended

    return [other for other in trained if other.window_end != event.window_end and is_same(other)]


def _features_of(event: DriftEvent) -> frozenset[tuple[str, str]]:
    return frozenset((item.feature, item.objective) for item in event.features)


def has_trained_since(moment: datetime, history: TrainingHistory) -> bool:
    """Whether a training has ended since an event began to wait.

    What awaits a person is answered only by such a training: where the event was found after the
    last one, it is the person who says whether its drift needs another.
    """
    return history.evaluated_at is not None and history.evaluated_at > moment


def answered_by(window_end: datetime, history: TrainingHistory) -> str | None:
    """Say which training has answered a held drift event, or None while its drift stands.

    The baseline has that drift, or a training on data beyond the window has ended: its model is the
    champion, or the champion was better on later data. So the windows of a backfill do not train
    one by one. An event that was never held is not asked: its window may be monitored again.
    """
    if history.baseline_until is not None and history.baseline_until >= window_end:
        reached = f"{history.baseline_until:%Y-%m-%d %H:%M} UTC"
        return f"a later training reached {reached} and made it the baseline"
    if history.evaluated_until is not None and history.evaluated_until > window_end:
        return f"a training on data until {history.evaluated_until:%Y-%m-%d %H:%M} UTC has ended"
    return None
