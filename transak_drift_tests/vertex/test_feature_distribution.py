"""Distributions in the JSON form of `tensorflow.metadata.v0`, however they are spelt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.vertex.feature_distribution import contributors, row_count

NAMES = ["numExamples", "features", "stringStats", "numStats", "commonStats", "rankHistogram"]
NAMES += ["histograms", "buckets", "sampleCount", "lowValue", "highValue", "numNonMissing"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=20,
)


def categorical(counts: dict[str, float], present: int | None = None) -> dict[str, Any]:
    total = int(sum(counts.values())) if present is None else present
    buckets = [{"label": label, "sampleCount": count} for label, count in counts.items()]
    common = {"numNonMissing": str(total)}
    statistics = {"commonStats": common, "rankHistogram": {"buckets": buckets}}
    return {"numExamples": str(total), "features": [{"stringStats": statistics}]}


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


@pytest.mark.parametrize("distribution", [None, "", [], {}, {"features": []}, {"features": [1]}])
def test_a_report_without_values_has_no_contributors(distribution: Any) -> None:
    assert contributors(distribution, categorical({"a": 1})) == ()
    assert row_count(distribution) is None


@settings(max_examples=40)
@given(JSON, JSON)
def test_no_report_whatever_stops_the_result(before: Any, now: Any) -> None:
    for contributor in contributors(before, now):
        assert 0 <= contributor.baseline_share <= 1
    assert row_count(before) is None or row_count(before) == int(row_count(before) or 0)


@pytest.mark.parametrize("number", ["Infinity", float("inf"), "NaN", "many", -1, 10**400])
def test_a_number_that_is_none_counts_nothing(number: Any) -> None:
    assert row_count({"numExamples": number}) is None
