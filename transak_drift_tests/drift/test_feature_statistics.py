"""Statistics that contradict themselves, and their JSON form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    NumericalStatistics,
    StatisticsFormatError,
)
from transak_drift.drift.histogram import Bucket, Histogram, equal_width_edges

STATISTICS = DatasetStatistics(
    6,
    {
        "type": CategoricalStatistics({"": 2, "Zürich": 1, "\ud7ff\x00": 1}, missing=2),
        "amount": NumericalStatistics(
            edges=(-0.1, 0.1, 0.30000000000000004),
            counts=(1, 1),
            minimum=-0.1,
            maximum=0.30000000000000004,
            mean=1 / 3,
            negative_infinities=1,
            positive_infinities=1,
            nan=1,
            missing=1,
        ),
    },
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": 7}, "feature 'type' has 4 present and 2 missing values"),
        ({"rows": "6"}, "rows: Input should be a valid integer"),
        ({"rows": -1}, "rows: "),
        ({"format_version": 2}, "format_version: "),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"features": {"a": {"kind": "ordinal"}}}, "features.a: "),
        ({"features": {"a": {"kind": "categorical", "counts": {"x": -1}}}}, "counts['x'] = -1"),
        ({"features": {"a": {"kind": "categorical", "counts": {"x": 1.5}}}}, "counts.x: "),
    ],
)
def test_json_of_a_wrong_shape_is_refused_with_its_place(change: dict[str, Any], told: str) -> None:
    document = {**json.loads(STATISTICS.to_json()), **change}
    with pytest.raises(StatisticsFormatError) as caught:
        DatasetStatistics.from_json(json.dumps(document))
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", "null", b"\xff\x00", "[]"])
def test_text_that_is_no_statistics_is_refused(text: str | bytes) -> None:
    with pytest.raises(StatisticsFormatError):
        DatasetStatistics.from_json(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"edges": (0.0, 1.0, 2.0), "counts": (1,)}, "3 edges and 1 counts"),
        ({"edges": (0.0,), "counts": ()}, "1 edges and 0 counts"),
        ({"edges": (0.0, 0.0, 2.0), "counts": (1, 1)}, "do not ascend"),
        ({"edges": (0.0, float("inf")), "counts": (1,)}, "not all finite"),
        ({"edges": (0.0, 3.0), "counts": (1,)}, "are not the outer edges"),
        ({"edges": (0.0, 2.0), "counts": (-1,)}, r"counts\[0\] = -1"),
        ({"edges": (0.0, 2.0), "counts": (1,), "nan": -1}, "nan = -1"),
    ],
)
def test_numerical_statistics_that_contradict_themselves_are_refused(
    arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        NumericalStatistics(minimum=0.0, maximum=2.0, **arguments)


def test_infinities_are_buckets_of_their_own_in_the_histogram() -> None:
    histogram = STATISTICS.features["amount"]
    assert isinstance(histogram, NumericalStatistics)
    infinity = float("inf")
    assert histogram.histogram == Histogram(
        (
            Bucket(-infinity, -infinity, 1),
            Bucket(-0.1, 0.1, 1),
            Bucket(0.1, 0.30000000000000004, 1),
            Bucket(infinity, infinity, 1),
        ),
        nan_count=1,
    )


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf"))])
def test_there_are_no_edges_without_a_range(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="minimum < maximum"):
        equal_width_edges(*bounds)
