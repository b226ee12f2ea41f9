"""May a real drift event start a training now, or is it held back, and why?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from transak_drift.config.monitoring_config import RetrainPolicy


@dataclass(frozen=True, slots=True)
class TrainingHistory:
    """What is known of trainings when a drift event is decided.

    Args:
        in_flight: trainings requested, queued or running.
        last_start: when the newest training was requested, UTC, or None.
        baseline_until: end of the window that the present baseline was made from, UTC, or None.
        evaluated_until: end of the window that the newest finished training learned from, UTC,
            whether its model was promoted or not, or None.
    """

    in_flight: int
    last_start: datetime | None
    baseline_until: datetime | None
    evaluated_until: datetime | None = None


NO_HISTORY = TrainingHistory(in_flight=0, last_start=None, baseline_until=None)


def hold_back(
    drifted_features: int, policy: RetrainPolicy, history: TrainingHistory, now: datetime
) -> str | None:
    """Decide whether a real drift event is held back.

    Args:
        drifted_features: how many features of the event drifted.
        policy: the configured policy.
        history: the trainings so far.
        now: the present time, UTC.

    Returns:
        Why it is held, in a sentence for people, or None when the training may start.
    """
    if drifted_features < policy.minimum_anomalous_features:
        needed = policy.minimum_anomalous_features
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

    A training whose data reached the end of the window has seen that drift, and its data are the
    baseline now. After a training on data beyond the window nothing in it is news: its model is the
    champion, or the champion was better on later days. So many days that drifted at once, as a
    backfill finds them, do not train one by one. An event that was never held is not asked: it may
    be a day that is monitored again.

    Args:
        window_end: end of the drift event's window, UTC.
        history: the trainings so far.
    """
    if history.baseline_until is not None and history.baseline_until >= window_end:
        reached = f"{history.baseline_until:%Y-%m-%d %H:%M} UTC"
        return f"a later training reached {reached} and made it the baseline"
    if history.evaluated_until is not None and history.evaluated_until > window_end:
        return f"a training on data until {history.evaluated_until:%Y-%m-%d %H:%M} UTC has ended"
    return None
