"""Distributions as Model Monitoring reports them: `tensorflow.metadata.v0` in JSON.

Source: "statistics.proto" of TensorFlow Metadata. 64-bit numbers are text in the JSON form of a
proto ("ProtoJSON Format"), and names may be in camel case or as in the proto.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transak_drift.drift.drift_statistics import DriftStatisticsError, top_contributors
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.monitoring_result import Contributor

OTHER_VALUES = "(other values)"


def row_count(distribution: Any) -> int | None:
    """Read a dataset's rows from the reported distribution of one of its features."""
    document = distribution if isinstance(distribution, Mapping) else {}
    rows = _number(_member(document, "num_examples"))
    if rows is not None:
        return int(rows)
    common = _member(_statistics(document), "common_stats")
    present = _number(_member(common, "num_non_missing"))
    missing = _number(_member(common, "num_missing"))
    return None if present is None else int(present + (missing or 0))


def contributors(baseline: Any, target: Any) -> tuple[Contributor, ...]:
    """Find the values whose share changed most between two reported distributions of a feature."""
    before, after = _feature_statistics(baseline), _feature_statistics(target)
    if before is None or after is None:
        return ()
    try:
        found = top_contributors(before, after)
    except DriftStatisticsError:
        return ()
    return tuple(item for item in found if item.value != OTHER_VALUES)


def _feature_statistics(distribution: Any) -> FeatureStatistics | None:
    statistics = _statistics(distribution if isinstance(distribution, Mapping) else {})
    try:
        if _member(statistics, "rank_histogram"):
            return _categorical(statistics)
        if _member(statistics, "histograms"):
            return _numerical(statistics)
    except ValueError:
        # Another layout than documented: the distance stands, only the picture is missing.
        return None
    return None


def _categorical(statistics: Mapping[str, Any]) -> CategoricalStatistics:
    counts: dict[str, int] = {}
    for bucket in _items(_member(_member(statistics, "rank_histogram"), "buckets")):
        count = _number(_member(bucket, "sample_count"))
        counts[str(_member(bucket, "label") or "")] = int(count or 0)
    present = _number(_member(_member(statistics, "common_stats"), "num_non_missing"))
    rest = 0 if present is None else int(present) - sum(counts.values())
    if rest > 0:
        counts[OTHER_VALUES] = rest
    return CategoricalStatistics(counts)


def _numerical(statistics: Mapping[str, Any]) -> NumericalStatistics | None:
    standard = next(
        (
            histogram
            for histogram in _items(_member(statistics, "histograms"))
            if _member(histogram, "type") in (None, "STANDARD", 0)
        ),
        None,
    )
    if standard is None:
        return None
    buckets = _items(_member(standard, "buckets"))
    lows = [_number(_member(bucket, "low_value")) or 0.0 for bucket in buckets]
    highs = [_number(_member(bucket, "high_value")) or 0.0 for bucket in buckets]
    if not buckets or lows[1:] != highs[:-1]:
        return None
    return NumericalStatistics(
        edges=(*lows, highs[-1]),
        counts=tuple(_number(_member(bucket, "sample_count")) or 0.0 for bucket in buckets),
        minimum=lows[0],
        maximum=highs[-1],
    )


def _statistics(document: Mapping[str, Any]) -> Mapping[str, Any]:
    features = _items(_member(document, "features"))
    feature = features[0] if features else document
    for name in ("string_stats", "num_stats"):
        statistics = _member(feature, name)
        if isinstance(statistics, Mapping):
            return statistics
    return {}


def _member(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        return None
    head, *tail = name.split("_")
    camel_case = head + "".join(part.capitalize() for part in tail)
    return value.get(camel_case, value.get(name))


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
