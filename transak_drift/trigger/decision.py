"""Drift event to decision: which open events train now, and which the retrain policy holds back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

Request = TypeVar("Request")


@dataclass(frozen=True, slots=True)
class TrainingHistory:
    """What is known of a model's trainings when a drift event is decided; times in UTC."""

    # Requested, queued or running.
    in_flight: int = 0
    last_start: datetime | None = None
    # End of the data of the baseline, and of the newest finished training, promoted or not.
    baseline_until: datetime | None = None
    evaluated_until: datetime | None = None
    # By drift event whether its training run, which is created, was handed over to run.
    runs: Mapping[str, bool] = field(default_factory=dict)


def decide(
    inbox: Inbox,
    policy: RetrainPolicy,
    history: TrainingHistory,
    now: datetime,
    request: Callable[[DriftEvent], Request],
) -> tuple[list[TriggerRecord], list[Request]]:
    """Return what is recorded of every open drift event of a model, then the trainings requested.

    Held events come first, the newest window first, whose training answers the older ones as well;
    then new events. A request whose run is not there yet is made again. An event that raises, also
    in `request`, has a step `failed` with its error, and the others go on.
    """
    undecided, runs = inbox.undecided(), history.runs
    held = [pair for pair in undecided if pair[0].kind == OutcomeKind.HELD]
    held.sort(key=lambda pair: pair[1].window_end, reverse=True)
    others = [pair for pair in undecided if pair[0].kind != OutcomeKind.HELD]
    requested = {event.key for item, event in others if item.kind == OutcomeKind.TRAINING_REQUESTED}
    if unseen := requested - runs.keys():
        history = replace(history, in_flight=history.in_flight + len(unseen), last_start=now)
    steps: list[TriggerRecord] = []
    requests: list[Request] = []

    def next_step(item: TriggerRecord, event: DriftEvent) -> tuple[OutcomeKind, str]:
        if runs.get(event.key):
            return OutcomeKind.TRAINING_STARTED, "its training run is in Dagster's run storage"
        if item.kind == OutcomeKind.TRAINING_REQUESTED or event.key in runs:
            # Its own run must not hold it back.
            return OutcomeKind.TRAINING_REQUESTED, event.summary()
        if item.kind == OutcomeKind.HELD and (answer := answered_by(event.window_end, history)):
            return OutcomeKind.SUPERSEDED, answer
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
        is_known_error = kind == OutcomeKind.FAILED and detail == item.detail
        if kind != item.kind and not is_known_error:
            step = TriggerRecord(kind=kind, key=event.key, detail=detail, at=now, event=event)
            steps.append(step)
    return steps, requests


def hold_back(
    drifted_features: int, policy: RetrainPolicy, history: TrainingHistory, now: datetime
) -> str | None:
    """Say why a real drift event is held back, or None when its training may start."""
    if drifted_features < (needed := policy.minimum_anomalous_features):
        return f"{drifted_features} drifted feature(s), the policy asks for {needed}"
    if history.in_flight >= policy.maximum_trainings_in_flight:
        return f"{history.in_flight} training(s) in flight"
    cooldown = timedelta(minutes=policy.cooldown_minutes)
    # A start further ahead than a whole cooldown is a clock that was set back: no hold for that.
    if history.last_start is not None and history.last_start - now <= cooldown:
        end = history.last_start + cooldown
        if now < end:
            return f"cooldown until {end:%Y-%m-%d %H:%M:%S} UTC"
    return None


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
