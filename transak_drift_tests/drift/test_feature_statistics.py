"""Statistics that contradict themselves, and their JSON form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    NumericalStatistics,
)

AMOUNT = NumericalStatistics((-0.1, 0.1, 0.30000000000000004), (1, 1), 1, 1, nan=1, missing=1)
TYPE = CategoricalStatistics({"": 2, "Zürich": 1, "\ud7ff\x00": 1}, missing=2)
STATISTICS = DatasetStatistics(6, {"type": TYPE, "amount": AMOUNT})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": 7}, "feature 'type' has 4 present and 2 missing values"),
        ({"rows": "6"}, "rows\n  Input should be a valid integer"),
        ({"rows": -1}, "rows\n"),
        ({"format_version": 2}, "format_version\n"),
        ({"more": 1}, "more\n  Unexpected keyword argument"),
        ({"features": {"a": {"kind": "ordinal"}}}, "features.a\n"),
        ({"features": {"a": {"kind": "categorical", "counts": {"x": -1}}}}, "counts.x is -1"),
        ({"features": {"a": {"kind": "categorical", "counts": {"x": 1.5}}}}, "counts.x\n"),
    ],
)
def test_json_of_a_wrong_shape_is_refused_with_its_place(change: dict[str, Any], told: str) -> None:
    document = {**json.loads(STATISTICS.to_json()), **change}
    with pytest.raises(ValueError) as caught:
        DatasetStatistics.from_json(json.dumps(document))
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", "null", b"\xff\x00", "[]"])
def test_text_that_is_no_statistics_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        DatasetStatistics.from_json(text)


def test_what_an_earlier_version_stored_is_read() -> None:
    document = json.loads(STATISTICS.to_json())
    document["features"]["amount"] |= {"minimum": -0.1, "maximum": 0.3, "mean": 0.1}
    assert DatasetStatistics.from_json(json.dumps(document)) == STATISTICS


@pytest.mark.parametrize(
    ("edges", "counts", "nan", "told"),
    [
        ((0.0, 1.0, 2.0), (1,), 0, "3 edges and 1 counts"),
        ((0.0,), (), 0, "1 edges and 0 counts"),
        ((0.0, 0.0, 2.0), (1, 1), 0, "do not ascend"),
        ((0.0, float("inf")), (1,), 0, "finite number"),
        ((0.0, 2.0), (-1,), 0, "counts.0\n"),
        ((0.0, 2.0), (1,), -1, "nan\n"),
    ],
)
def test_numerical_statistics_that_contradict_themselves_are_refused(
    edges: tuple[float, ...], counts: tuple[float, ...], nan: int, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        NumericalStatistics(edges=edges, counts=counts, nan=nan)
