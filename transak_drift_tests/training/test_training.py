"""The windows that a training uses."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_window import Window
from transak_drift.drift.feature_statistics import CategoricalStatistics, DatasetStatistics
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
