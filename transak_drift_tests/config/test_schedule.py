"""When ended windows are monitored: what is a cron expression, and what is none."""

from __future__ import annotations

import re

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_window import WindowLength
from transak_drift_tests.config.configurations import configuration, faults_after

_NUMBERS = st.integers(0, 60).map(str)
_VALUES = _NUMBERS | st.sampled_from(["*", "mon", "SUN", "jan", "Dec", "L", "", "x", "-1"])
_RANGES = st.builds("{}-{}".format, _VALUES, _VALUES)
_ITEMS = st.one_of(_VALUES, _RANGES, st.builds("{}/{}".format, _VALUES | _RANGES, _NUMBERS))
_FIELDS = st.lists(_ITEMS, min_size=1, max_size=3).map(",".join)


def test_each_length_of_windows_has_a_time_of_its_own() -> None:
    expected: dict[WindowLength, str] = {
        "day": "0 3 * * *",
        "week": "0 3 * * 1",
        "month": "0 3 1 * *",
    }
    own = configuration(schedule={"cron": "0 9 2 * *"}).schedule
    for length, cron in expected.items():
        assert configuration(monitoring_window=length).schedule.cron_of(length) == cron
        assert own.cron_of(length) == "0 9 2 * *"


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("0 */6 * * *", "0 */6 * * *"),
        (" 15  6,18 1-7 jan-MAR  1-5 ", "15 6,18 1-7 jan-MAR 1-5"),
        ("0 3 L * *", "0 3 L * *"),
        ("0 3 29 2 *", "0 3 29 2 *"),
        ("0 3 31 2-3 *", "0 3 31 2-3 *"),
        ("5/20 0-23/2 * * sun,7", "5/20 0-23/2 * * sun,7"),
        ("@Daily", "0 0 * * *"),
        ("@monthly", "0 0 1 * *"),
    ],
)
def test_what_is_a_cron_expression(expression: str, fields: str) -> None:
    assert configuration(schedule={"cron": expression}).schedule.cron == fields


@pytest.mark.parametrize(
    ("expression", "problem", "fix"),
    [
        ("0 3 * *", "has 4 fields of a cron expression, not 5", "such as 0 3 * * *"),
        ("0 0 3 * * *", "has 6 fields", "such as 0 3 * * *"),
        ("", "has 0 fields", "@daily"),
        ("@reboot", "has 1 fields", "@daily"),
        ("60 3 * * *", "has 60 as minute", "0 to 59"),
        ("0 24 * * *", "has 24 as hour", "0 to 23"),
        ("0 3 0 * *", "has 0 as day of the month", "1 to 31"),
        ("0 3 * 13 *", "has 13 as month", "1 to 12 or jan to dec"),
        ("0 3 * * 8", "has 8 as day of the week", "0 to 7 or sun to sat"),
        ("0 3 * * L", "has l as day of the week", "sun to sat"),
        ("0 3 mon * *", "has mon as day of the month", "1 to 31"),
        ("0 3,, * * *", "has nothing as hour", "lists (1,15)"),
        ("0 */0 * * *", "has */0 as hour", "steps (*/6)"),
        ("0 18-6 * * *", "has 18-6 as hour", "ranges (1-5)"),
        ("0 3 30 2 *", "names a day that none of its months has", "L"),
        ("0 3 31 4,6,9,11 *", "names a day that none of its months has", "another day"),
    ],
)
def test_what_is_none_is_named_with_its_field(expression: str, problem: str, fix: str) -> None:
    [fault] = faults_after(schedule={"cron": expression}).values()
    assert fault.path == "schedule.cron"
    assert problem in fault.problem
    assert fix in fault.fix


@given(st.tuples(_FIELDS, _FIELDS, _FIELDS, _FIELDS, _FIELDS).map(" ".join))
def test_dagster_takes_every_expression_that_the_configuration_takes(expression: str) -> None:
    faults = faults_after(schedule={"cron": expression, "time_zone": "Nowhere/Else"})
    assert "is no known time zone" in faults["schedule.time_zone"].problem
    if "schedule.cron" not in faults:
        assert is_valid_cron_string(expression)
    else:
        assert re.search(
            "which is no such value|that none of its|5$", faults["schedule.cron"].problem
        )


@given(
    st.tuples(
        st.integers(0, 59),
        st.integers(0, 23),
        st.integers(1, 28),
        st.integers(1, 12),
        st.integers(0, 7),
    ),
    st.lists(st.integers(0, 4)),
)
def test_plain_numbers_and_stars_are_taken(numbers: tuple[int, ...], stars: list[int]) -> None:
    texts = ["*" if place in stars else str(number) for place, number in enumerate(numbers)]
    assert faults_after(schedule={"cron": " ".join(texts)}) == {}
