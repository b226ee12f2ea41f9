"""The days that a training uses."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.training.training_window import select_training_days

EVENT = date(2026, 3, 31)


def days_before(*ages: int) -> list[date]:
    return [EVENT - timedelta(days=age) for age in ages]


def never(day: date, event_day: date) -> bool:
    return False


def test_an_abrupt_change_leaves_the_events_day_alone() -> None:
    candidates = days_before(*range(40))
    assert select_training_days(EVENT, candidates, lambda day, _: day < EVENT, 28) == [EVENT]


def test_a_change_some_days_ago_gives_the_days_since() -> None:
    change = EVENT - timedelta(days=4)
    selected = select_training_days(EVENT, days_before(*range(40)), lambda day, _: day < change, 28)
    assert selected == days_before(4, 3, 2, 1, 0)


def test_quiet_times_give_the_whole_window() -> None:
    assert select_training_days(EVENT, days_before(*range(40)), never, 28) == days_before(
        *range(27, -1, -1)
    )


def test_an_older_regime_that_was_alike_does_not_count() -> None:
    interruption = EVENT - timedelta(days=2)
    selected = select_training_days(
        EVENT, days_before(*range(10)), lambda day, _: day == interruption, 28
    )
    assert selected == days_before(1, 0)


def test_days_without_data_are_passed_over() -> None:
    assert select_training_days(EVENT, days_before(0, 1, 4, 5), never, 5) == days_before(4, 1, 0)


def test_the_calendar_may_begin_within_the_window() -> None:
    first = date.min
    candidates = [first, first + timedelta(days=1)]
    assert select_training_days(candidates[1], candidates, never, 28) == candidates


def test_unusable_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="maximum_days = 0"):
        select_training_days(EVENT, [EVENT], never, 0)
    with pytest.raises(ValueError, match="event_day = 2026-03-31"):
        select_training_days(EVENT, days_before(1, 2), never, 28)


ages = st.integers(min_value=-5, max_value=60)


@given(
    available=st.sets(ages),
    different=st.sets(ages),
    maximum_days=st.integers(min_value=1, max_value=50),
)
def test_the_run_is_the_longest_that_qualifies(
    available: set[int], different: set[int], maximum_days: int
) -> None:
    candidates = days_before(0, *available)
    asked: list[date] = []

    def differs(day: date, event_day: date) -> bool:
        assert event_day == EVENT
        asked.append(day)
        return (EVENT - day).days in different

    selected = select_training_days(EVENT, candidates, differs, maximum_days)

    assert selected == sorted(set(selected))
    assert selected[-1] == EVENT
    assert (EVENT - selected[0]).days < maximum_days
    # By definition: an available day belongs to the run when neither it nor any available day
    # between it and the event differs.
    expected = [
        age
        for age in {0, *available}
        if 0 <= age < maximum_days
        and not any(0 < other <= age and other in different for other in available)
    ]
    assert selected == days_before(*sorted(expected, reverse=True))
    # A comparison costs a scan: none twice, newest first, none beyond the first that differs.
    assert asked == sorted(set(asked), reverse=True)
    assert len(asked) <= len(selected)
