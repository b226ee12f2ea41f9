"""Addresses and queries of data on Google Cloud, and what goes together with a window."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.data_source import (
    data_source_faults,
    fill_placeholders,
    names_window,
)
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift_tests.config.configurations import configuration, faults_after

DAY = WindowCalendar("day").parse("2026-08-27")
WEEK = WindowCalendar("week").parse("2026-08-24")
MONTH = WindowCalendar("month").parse("2026-08")
TABLE = "bq://af-finanzen.transak.predictions"
MONTHLY = "SELECT type FROM `p.d.t` WHERE month = {yyyymm}"
BETWEEN = "SELECT type FROM t WHERE day BETWEEN '{first_day}' AND '{last_day}'"


def faults_of(window: str, **vertex: Any) -> list[ConfigFault]:
    try:
        configuration(monitoring_window=window, vertex=vertex)
    except ConfigError as error:
        return list(error.faults)
    return []


@pytest.mark.parametrize(
    ("window", "text", "filled"),
    [
        (MONTH, MONTHLY, "SELECT type FROM `p.d.t` WHERE month = 202608"),
        (MONTH, "{first_day}/{last_day}", "2026-08-01/2026-08-31"),
        (WEEK, "{first_day}/{last_day}", "2026-08-24/2026-08-30"),
        (DAY, "{date}/{date:%Y%m%d}/{first_day}/{last_day}", "/".join(["2026-08-27"] * 4)),
        (MONTH, "{date:%Y-%m} {model_version}", "2026-08 7"),
        (MONTH, """JSON '{"a": {"b": 1}}', r'\\d{2,3}{}' {2}""", None),
    ],
)
def test_placeholders_are_filled_and_other_braces_stay(
    window: Window, text: str, filled: str | None
) -> None:
    expected = (filled or text).replace("2026-08-27/2026-08-27/", "2026-08-27/20260827/")
    assert fill_placeholders(text, window, "7") == expected


@given(st.text(alphabet="ab_{}:%'\"- \n{"), st.dates(date(1000, 1, 1)))
def test_a_text_without_a_known_placeholder_is_never_changed(text: str, day: date) -> None:
    window = WindowCalendar("day").of_day(day)
    assert fill_placeholders(text, window) == text
    assert fill_placeholders(f"{text}{{last_day}}", window) == f"{text}{day}"
    assert not names_window(text)


@pytest.mark.parametrize(
    ("window", "vertex"),
    [
        ("month", {"prediction_query": MONTHLY, "training_dataset": "gs://transak-i1/train.csv"}),
        ("month", {"prediction_query": BETWEEN, "training_query": f"{MONTHLY} # ; {{x}}"}),
        ("week", {"prediction_query": BETWEEN, "training_query": "WITH a AS (SELECT 1) FROM a"}),
        ("day", {"prediction_query": f"-- {{yyyymm}} ; {{\n({BETWEEN})"}),
        ("day", {"prediction_query": f"{BETWEEN} AND x IN ('a;--b', r\"\\d{{2}}\", '''it's;''')"}),
        ("month", {"prediction_dataset": TABLE, "training_query": "SELECT {model_version}"}),
        ("month", {"prediction_dataset": TABLE + "_{date:%Y%m}"}),
        ("month", {"prediction_dataset": TABLE + "_{yyyymm}"}),
        ("month", {"prediction_dataset": "gs://transak-i1/{date:%Y}/{date:%m}.csv"}),
        ("month", {"prediction_dataset": "batchPredictionJobs/predictions-{date:%Y-%m}"}),
        ("month", {"prediction_dataset": "batchPredictionJobs/predictions"}),
        ("week", {"prediction_dataset": "gs://transak-i1/{date:%G-W%V}/*.csv"}),
        ("week", {"prediction_dataset": "gs://transak-i1/{first_day}.csv"}),
        ("week", {"prediction_dataset": "gs://transak-i1/{first_day}/{date:%V}.csv"}),
        ("week", {"prediction_dataset": "gs://transak-i1/{date:%Y-%W}.csv"}),
        ("day", {"prediction_dataset": "gs://transak-i1/{date:%Y}/{date:%m}/{date:%d}.csv"}),
        ("day", {"prediction_dataset": TABLE}),
    ],
)
def test_what_goes_together_is_taken(window: str, vertex: dict[str, Any]) -> None:
    assert faults_of(window, **vertex) == []


@pytest.mark.parametrize(
    ("window", "key", "text", "problem", "fix"),
    [
        ("month", "prediction_query", "SELECT 1", "compare the same rows for ever", "{yyyymm}"),
        ("day", "prediction_query", "SELECT 1 -- {first_day}", "same rows for ever", "{last_day}"),
        ("week", "prediction_query", MONTHLY, "is week, which is no whole month", "month, or"),
        ("day", "training_query", MONTHLY, "is day, which is no whole month", "to month"),
        ("month", "prediction_query", f"{MONTHLY} {{date}}", "placeholder {date}", "{first_day}"),
        ("month", "prediction_query", f"{MONTHLY} {{yyyymm:%d}}", "{yyyymm:%d}", "CHR(123)"),
        ("month", "prediction_query", f"{MONTHLY} AND x = '{{'", "without its partner", "CHR(123)"),
        ("month", "prediction_query", f"{MONTHLY} {{last_day", "without its partner", "{last_day}"),
        ("month", "prediction_query", f"{MONTHLY};", "has a semicolon", "without a semicolon"),
        ("month", "prediction_query", f"{MONTHLY}; DROP TABLE t", "has a semicolon", "one SELECT"),
        (
            "month",
            "prediction_query",
            "DELETE FROM t WHERE m = {yyyymm}",
            "no SELECT",
            "one SELECT",
        ),
        ("month", "training_query", " \n# nothing", "is empty", "one SELECT"),
        ("month", "training_query", "", "is empty", "{model_version}"),
        ("month", "training_query", "SELECT {version}", "{version}", "{model_version}"),
        ("month", "training_dataset", TABLE + "_{date}", "{date}", "known here: {model_version}"),
        ("day", "prediction_dataset", TABLE + "_{day}", "placeholder {day}", "{date}, {first_day}"),
        ("month", "prediction_dataset", TABLE + "_{date}", "address of one day", "{date:%Y-%m}"),
        ("week", "prediction_dataset", "gs://transak-i1/{date}.csv", "one day", "{first_day}"),
        ("month", "prediction_dataset", "gs://transak-i1/{date:%Y/%m/%d}.csv", "one day", "{date"),
        ("month", "prediction_dataset", TABLE + "_{date:%Y}", "not name the month", "{date:%Y-%m}"),
        ("day", "prediction_dataset", TABLE + "_{date:%Y%m}", "not name the day", "{date}"),
        ("week", "prediction_dataset", TABLE + "_{yyyymm}", "no whole month", "to month"),
        ("month", "prediction_dataset", TABLE + "_{date:%m}", "not name the year", "{date:%Y-%m}"),
        ("week", "prediction_dataset", TABLE + "_{date:%Y-W%V}", "name the year", "{date:%G-W%V}"),
        ("month", "prediction_dataset", "gs://transak-i1/all.csv", "in BigQuery only", "table"),
        ("day", "prediction_dataset", "gs://transak-i1/{date}{.csv", "its partner", "{date}"),
    ],
)
def test_what_does_not_go_together_is_named(
    window: str, key: str, text: str, problem: str, fix: str
) -> None:
    found = faults_of(window, **{key: text})
    assert {fault.path for fault in found} == {f"vertex.{key}"}
    assert any(problem in fault.problem and fix in fault.fix for fault in found), found
    assert all(fault.value == text for fault in found)


@given(
    st.sampled_from(["prediction_dataset", "prediction_query", "training_query"]),
    st.sampled_from(["day", "week", "month"]),
    st.lists(
        st.sampled_from(
            ["{first_day}", "{yyyymm}", "{date}", "{date:%Y}", "{", "}", "--", "'", "`"]
        )
        | st.text(max_size=5)
    ),
)
def test_whatever_is_written_is_taken_or_refused_with_a_fix(
    key: str, window: str, parts: list[str]
) -> None:
    document = {"monitoring_window": window, "vertex": {key: f"SELECT {''.join(parts)}"}}
    for fault in data_source_faults(document):
        assert fault.path == f"vertex.{key}"
        assert fault.problem
        assert fault.fix


@pytest.mark.parametrize("window", ["day", "week"])
def test_a_column_of_months_needs_month_windows(window: str) -> None:
    (fault,) = faults_after(date_column_format="yyyymm", monitoring_window=window).values()
    assert (fault.path, fault.value) == ("date_column_format", "yyyymm")
    assert f"monitoring_window is {window}" in fault.problem
    changes = {"date_column_format": "yyyymm", "monitoring_window": "month"}
    assert configuration(**changes).date_column_format == "yyyymm"


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        configuration(
            monitoring_window="week",
            time_zone="Europe/Zuerich",
            date_column_format="yyyymm",
            vertex={
                "prediction_dataset": TABLE + "_{date}",
                "prediction_query": "SELECT 1; SELECT {x}",
                "training_dataset": "gs://transak-i1/x.csv",
                "training_query": "SELECT {yyyymm",
                "pipeline_root": "nowhere",
            },
        )
    found = [(fault.path, fault.problem.partition(",")[0]) for fault in raised.value.faults]
    assert sorted(found) == [
        ("date_column_format", "tells months"),
        ("time_zone", "is no known time zone"),
        ("vertex.pipeline_root", "has the wrong form"),
        ("vertex.prediction_dataset", "is the address of one day"),
        ("vertex.prediction_query", "has a semicolon"),
        ("vertex.prediction_query", "has the unknown placeholder {x}"),
        ("vertex.prediction_query", "is set beside prediction_dataset"),
        ("vertex.prediction_query", "names no window"),
        ("vertex.training_query", "has a brace without its partner"),
        ("vertex.training_query", "is set beside training_dataset"),
    ]
    assert faults_of("fortnight", prediction_query=MONTHLY)[0].path == "monitoring_window"
