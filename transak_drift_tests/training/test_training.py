"""The days that a training uses, and the rule by which its model is promoted."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_window import Window
from transak_drift.drift.feature_statistics import CategoricalStatistics, DatasetStatistics
from transak_drift.training.promotion import decide_promotion
from transak_drift.training.training_window import select_training_windows
from transak_drift_tests.windows import day_window

EVENT = day_window(date(2026, 3, 31))


def days_before(*ages: int) -> list[Window]:
    return [day_window(EVENT.first_day - timedelta(days=age)) for age in ages]


def age_of(window: Window) -> int:
    return (EVENT.first_day - window.first_day).days


def of_kind(kind: str, rows: int = 10) -> DatasetStatistics:
    return DatasetStatistics(rows, {"type": CategoricalStatistics({kind: rows} if rows else {})})


def test_the_calendar_may_begin_within_the_window() -> None:
    days = [day_window(date.min), day_window(date.min + timedelta(days=1))]
    assert select_training_windows(days[1], days, lambda _: of_kind("a"), {"type": 0.3}, 28) == days


def test_days_without_bookings_end_no_regime_and_days_without_values_do() -> None:
    found = {
        0: of_kind("usual"),
        1: of_kind("usual", rows=0),
        2: of_kind("usual"),
        3: DatasetStatistics(10, {"type": CategoricalStatistics({}, missing=10)}),
        4: of_kind("usual"),
    }

    def selected(ages: Collection[int]) -> list[Window]:
        return select_training_windows(
            EVENT, days_before(*ages), lambda window: found[age_of(window)], {"type": 0.3}, 28
        )

    assert selected(found) == days_before(2, 0)


def test_windows_are_alike_by_the_configured_metric() -> None:
    shares = {0: {"a": 50, "b": 50}, 1: {"a": 85, "b": 15}}

    def statistics_of(window: Window) -> DatasetStatistics:
        return DatasetStatistics(100, {"type": CategoricalStatistics(shares[age_of(window)])})

    arguments = (EVENT, days_before(1, 0), statistics_of, {"type": 0.3}, 28)
    # The greatest change is 0.35, the divergence 0.11.
    assert select_training_windows(*arguments) == [EVENT]
    by_divergence = select_training_windows(*arguments, "jensen_shannon_divergence")
    assert by_divergence == days_before(1, 0)


ages = st.integers(min_value=-5, max_value=60)


@given(
    available=st.sets(ages),
    different=st.sets(ages.filter(bool)),
    max_days=st.integers(min_value=1, max_value=50),
)
def test_the_run_is_the_longest_that_qualifies(
    available: set[int], different: set[int], max_days: int
) -> None:
    asked: list[Window] = []

    def statistics_of(window: Window) -> DatasetStatistics:
        asked.append(window)
        return of_kind("other" if age_of(window) in different else "usual")

    selected = select_training_windows(
        EVENT, days_before(0, *available), statistics_of, {"type": 0.3}, max_days
    )

    # By definition: an available day belongs to the run when neither it nor any available day
    # between it and the event differs.
    expected = [
        age
        for age in {0, *available}
        if 0 <= age < max_days
        and not any(0 < other <= age and other in different for other in available)
    ]
    assert selected == days_before(*sorted(expected, reverse=True))
    # Statistics cost a scan: none twice, newest first, none beyond the first day that differs.
    assert asked == sorted(set(asked), reverse=True)
    assert len(asked) <= len(selected) + 1


@pytest.mark.parametrize(
    ("challenger", "champion", "promote", "reason"),
    [
        (0.0, None, True, "first model (macro F1 0.0000): there is no champion to beat"),
        (0.9, 0.8, True, "not worse on held-out recent data: macro F1 0.9000 against the"),
        (0.7, 0.7, True, "not worse"),
        (0.1 + 0.2, 0.3, True, "not worse"),
        (0.3, 0.1 + 0.2, True, "not worse"),
        (0.7, 0.7001, False, "worse on held-out recent data: macro F1 0.7000 against the"),
        (0.7, 0.8, False, "worse"),
    ],
)
def test_a_challenger_is_promoted_if_it_is_not_worse(
    challenger: float, champion: float | None, promote: bool, reason: str
) -> None:
    promoted, told = decide_promotion(challenger, champion)
    assert promoted is promote
    assert told.startswith(reason)


@pytest.mark.parametrize(
    ("score", "by_chance", "verdict"),
    [
        (0.6, 0.05, "worse on"),
        (0.6, 0.051, "not worse beyond chance on"),
        (0.7, 0.0, "not worse on"),
    ],
)
def test_a_lower_score_that_may_be_chance_is_not_held_against_a_challenger(
    score: float, by_chance: float, verdict: str
) -> None:
    promoted, told = decide_promotion(score, 0.7, by_chance)
    assert promoted is (not verdict.startswith("worse"))
    assert told.startswith(verdict)
    assert ("(p = " in told) is (score < 0.7)
