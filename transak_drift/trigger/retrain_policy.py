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
        trained_until: end of the window that the present baseline was made from, UTC, or None.
        judged_until: end of the window that the newest finished training learned from, UTC,
            whether its model was promoted or not, or None.
    """

    in_flight: int
    last_start: datetime | None
    trained_until: datetime | None
    judged_until: datetime | None = None


NO_HISTORY = TrainingHistory(in_flight=0, last_start=None, trained_until=None)


@dataclass(frozen=True, slots=True)
class Hold:
    """A drift event is held back.

    Args:
        reason: a sentence for people.
        until: when the hold ends by itself, UTC, or None if it waits for something else.
    """

    reason: str
    until: datetime | None


def hold_back(
    anomalous_features: int, policy: RetrainPolicy, history: TrainingHistory, now: datetime
) -> Hold | None:
    """Decide whether a real drift event is held back.

    Args:
        anomalous_features: how many features of the event drifted.
        policy: the configured policy.
        history: the trainings so far.
        now: the present time, UTC.

    Returns:
        The hold, or None when the training may start.
    """
    if anomalous_features < policy.minimum_anomalous_features:
        return Hold(
            f"{anomalous_features} drifted feature(s), the policy asks for "
            f"{policy.minimum_anomalous_features}",
            None,
        )
    if history.in_flight >= policy.maximum_trainings_in_flight:
        return Hold(f"{history.in_flight} training(s) in flight", None)
    cooldown = timedelta(minutes=policy.cooldown_minutes)
    # A start further ahead than a whole cooldown is a clock that was set back: no hold for that.
    if history.last_start is not None and history.last_start - now <= cooldown:
        cooldown_end = history.last_start + cooldown
        if now < cooldown_end:
            return Hold(f"cooldown until {cooldown_end:%Y-%m-%d %H:%M:%S} UTC", cooldown_end)
    return None


def drift_still_stands(window_end: datetime, history: TrainingHistory) -> bool:
    """Tell whether a drift event that was held still calls for a training.

    A training whose data reached the end of the event's window has seen that drift, and its data
    are the baseline now; an event with a later window has not been answered.

    Args:
        window_end: end of the drift event's window, UTC.
        history: the trainings so far.

    Returns:
        True when no baseline reaches the end of the event's window.
    """
    return history.trained_until is None or history.trained_until < window_end


def is_past(window_end: datetime, history: TrainingHistory) -> bool:
    """Tell whether a training on data beyond a held event's window has ended.

    Nothing that was seen in the window is news then: the training had those days and later ones.
    Its model is the champion, or the champion was better on days after the window. So many days
    that drifted at once, as a backfill finds them, do not train one by one.

    Args:
        window_end: end of the drift event's window, UTC.
        history: the trainings so far.

    Returns:
        True when the event calls for no training any more. An event that was never held is not
        asked: it may be a day that is monitored again, or a person's message.
    """
    return history.judged_until is not None and history.judged_until > window_end
