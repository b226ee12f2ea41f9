"""Distributions in the JSON form of `tensorflow.metadata.v0`, however they are spelt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.vertex.feature_distribution import (
    by_chance,
    contributors,
    feature_quality,
    row_count,
)

NAMES = ["numExamples", "features", "stringStats", "numStats", "commonStats", "rankHistogram"]
NAMES += [
    "numMissing",
    "label",
    "histograms",
    "buckets",
    "sampleCount",
    "lowValue",
    "highValue",
    "numNonMissing",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=20,
)


def categorical(
    counts: dict[str, float], present: int | None = None, missing: int = 0
) -> dict[str, Any]:
    total = int(sum(counts.values())) if present is None else present
    buckets = [{"label": label, "sampleCount": count} for label, count in counts.items()]
    common = {"numNonMissing": str(total), "numMissing": str(missing)}
    statistics = {"commonStats": common, "rankHistogram": {"buckets": buckets}}
    return {"numExamples": str(total + missing), "features": [{"stringStats": statistics}]}


def numerical(low: float, high: float, present: int, missing: int = 0) -> dict[str, Any]:
    bucket = {"lowValue": low, "highValue": high, "sampleCount": present}
    common = {"numNonMissing": str(present), "numMissing": str(missing)}
    statistics = {"commonStats": common, "histograms": [{"buckets": [bucket]}]}
    return {"numExamples": str(present + missing), "features": [{"numStats": statistics}]}


def snake_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake_case(item)
            for key, item in value.items()
        }
    return [snake_case(item) for item in value] if isinstance(value, list) else value


def test_camel_case_and_the_protos_own_names_mean_the_same() -> None:
    before, now = categorical({"a": 8, "b": 2}), categorical({"a": 2, "c": 8})
    found = contributors(before, now)
    assert found == contributors(snake_case(before), snake_case(now))
    assert [(c.value, c.baseline_share, c.target_share) for c in found] == [
        ("c", 0.0, 0.8),
        ("a", 0.8, 0.2),
        ("b", 0.2, 0.0),
    ]
    assert row_count(before) == row_count(snake_case(before)) == 10


def test_a_feature_without_its_dataset_is_read_as_well() -> None:
    dataset = categorical({"a": 5})
    (feature,) = dataset["features"]
    assert row_count(feature) == 5
    assert contributors(feature, categorical({"b": 5}))[0].value == "a"


def test_values_that_a_report_leaves_out_still_count() -> None:
    (found, *_) = contributors(categorical({"a": 5}, present=10), categorical({"a": 9}, present=10))
    assert (found.value, found.baseline_share, found.target_share) == ("a", 0.5, 0.9)


def test_the_quality_is_counted_from_what_is_reported() -> None:
    before = categorical({"a": 900, "b": 90}, missing=10)
    found = feature_quality("type", before, categorical({"a": 60, "c": 15}, missing=25))
    assert found is not None
    assert (found.missing_share, found.expected_missing_share) == (0.25, 0.01)
    assert (found.unseen_share, found.unseen_values) == (0.15, ("c",))
    amount = feature_quality("amount", numerical(0, 10, 100), numerical(20, 30, 75, missing=25))
    assert amount is not None
    assert (amount.missing_share, amount.unseen_share) == (0.25, 0.75)
    changed = feature_quality("amount", numerical(0, 10, 100), categorical({"1,5": 9}))
    assert changed is not None
    assert changed.type_change == "numerical in the baseline, categorical in the window"


def test_a_cut_histogram_of_the_baseline_tells_of_no_unseen_value() -> None:
    cut, full = categorical({"a": 900}, present=1_000), categorical({"a": 90, "c": 10})
    found = feature_quality("type", cut, full)
    assert found is not None and found.unseen_share is None
    assert found.note == (
        "unseen values are not known: the baseline's statistics have but its 1 most frequent values"
    )
    of_target = feature_quality("type", full, categorical({"a": 60, "d": 10}, present=100))
    assert of_target is not None
    assert (of_target.unseen_share, of_target.note) == (0.1, "")


@pytest.mark.parametrize("statistics", ["stringStats", "numStats"])
def test_an_empty_column_is_missing_as_a_whole(statistics: str) -> None:
    # The JSON form of a proto leaves out what is 0.
    empty = {"features": [{statistics: {"commonStats": {"numMissing": "50"}}}], "numExamples": "50"}
    full = categorical({"a": 9}) if statistics == "stringStats" else numerical(0, 1, 9)
    found = feature_quality("type", full, empty)
    assert found is not None
    assert (found.missing_share, found.unseen_share, found.type_change) == (1.0, 0.0, "")


@pytest.mark.parametrize("distribution", [None, "", [], {}, {"features": []}, {"features": [1]}])
def test_a_report_without_values_has_no_contributors(distribution: Any) -> None:
    assert contributors(distribution, categorical({"a": 1})) == ()
    assert row_count(distribution) is None
    assert feature_quality("type", distribution, categorical({"a": 1})) is None


@settings(max_examples=40)
@given(JSON, JSON)
def test_no_report_whatever_stops_the_result(before: Any, now: Any) -> None:
    for contributor in contributors(before, now):
        assert 0 <= contributor.baseline_share <= 1
    feature_quality("type", before, now)
    assert 0 <= (by_chance(before, now, "l_infinity") or 0) <= 1
    assert row_count(before) is None or row_count(before) == int(row_count(before) or 0)


@pytest.mark.parametrize("number", ["Infinity", float("inf"), "NaN", "many", -1, 10**400])
def test_a_number_that_is_none_counts_nothing(number: Any) -> None:
    assert row_count({"numExamples": number}) is None
