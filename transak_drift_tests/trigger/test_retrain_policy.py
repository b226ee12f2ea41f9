"""When real drift may start a training, and when it is held back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.trigger.retrain_policy import TrainingHistory, answered_by, hold_back
from transak_drift_tests.trigger.drift_messages import MAY_1

NO_HISTORY = TrainingHistory(in_flight=0, last_start=None, baseline_until=None)
HOUR = timedelta(hours=1)


def policy(cooldown_minutes: int = 0, in_flight: int = 1, features: int = 1) -> RetrainPolicy:
    return RetrainPolicy(
        cooldown_minutes=cooldown_minutes,
        maximum_trainings_in_flight=in_flight,
        minimum_anomalous_features=features,
    )


def started(ago: timedelta) -> TrainingHistory:
    return TrainingHistory(in_flight=0, last_start=MAY_1 - ago, baseline_until=None)


def test_the_first_drift_is_not_held() -> None:
    assert hold_back(1, RetrainPolicy(), NO_HISTORY, MAY_1) is None


def test_too_few_features_are_held_until_more_drift() -> None:
    hold = hold_back(1, policy(features=2), NO_HISTORY, MAY_1)
    assert hold is not None
    assert hold == "1 drifted feature(s), the policy asks for 2"
    assert hold_back(2, policy(features=2), NO_HISTORY, MAY_1) is None


@pytest.mark.parametrize(
    ("in_flight", "maximum", "held"),
    [(0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True), (3, 2, True)],
)
def test_trainings_in_flight_hold_the_next(in_flight: int, maximum: int, held: bool) -> None:
    hold = hold_back(1, policy(in_flight=maximum), TrainingHistory(in_flight, None, None), MAY_1)
    assert (hold is not None) == held
    if hold is not None:
        assert hold == f"{in_flight} training(s) in flight"


def test_the_cooldown_holds_until_its_very_end() -> None:
    one_hour = policy(cooldown_minutes=60)
    hold = hold_back(1, one_hour, started(HOUR - timedelta(microseconds=1)), MAY_1)
    assert hold is not None
    assert hold.startswith("cooldown until 2026-05-01 00:00:00")
    assert hold_back(1, one_hour, started(HOUR), MAY_1) is None
    assert hold_back(1, policy(), started(timedelta(0)), MAY_1) is None


def test_a_clock_that_was_set_back_a_little_prolongs_the_cooldown() -> None:
    hold = hold_back(1, policy(cooldown_minutes=60), started(-HOUR), MAY_1)
    assert hold is not None
    assert hold == "cooldown until 2026-05-01 02:00:00 UTC"


def test_a_clock_that_was_set_back_a_lot_does_not_hold_for_ever() -> None:
    far = started(-timedelta(days=365 * 20))
    assert hold_back(1, policy(cooldown_minutes=60), far, MAY_1) is None
    assert hold_back(1, policy(), started(-timedelta(seconds=1)), MAY_1) is None


@settings(deadline=None)
@given(
    cooldown=st.integers(0, 525_600),
    last_start=st.none() | st.datetimes(timezones=st.just(UTC)),
    now=st.datetimes(
        min_value=datetime(1970, 1, 1),
        max_value=datetime(9000, 1, 1),
        timezones=st.just(UTC),
    ),
)
def test_no_cooldown_holds_longer_than_twice_its_length(
    cooldown: int, last_start: datetime | None, now: datetime
) -> None:
    hold = hold_back(1, policy(cooldown), TrainingHistory(0, last_start, None), now)
    if hold is not None:
        shown = hold.removeprefix("cooldown until ").removesuffix(" UTC")
        until = datetime.strptime(shown, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        # It is shown to the second.
        assert now - timedelta(seconds=1) < until <= now + 2 * timedelta(minutes=cooldown)
    elif last_start is not None and last_start <= now:
        assert now - last_start >= timedelta(minutes=cooldown)


@pytest.mark.parametrize(
    ("baseline_until", "stands"),
    [(None, True), (MAY_1 - HOUR, True), (MAY_1, False), (MAY_1 + HOUR, False)],
)
def test_drift_stands_until_a_baseline_reaches_its_end(
    baseline_until: datetime | None, stands: bool
) -> None:
    assert (answered_by(MAY_1, TrainingHistory(0, None, baseline_until)) is None) == stands
