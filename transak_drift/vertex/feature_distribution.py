"""Distributions as Model Monitoring reports them: `tensorflow.metadata.v0` in JSON.

Source: "statistics.proto" of TensorFlow Metadata. 64-bit numbers are text in the JSON form of a
proto ("ProtoJSON Format"), and names may be in camel case or as in the proto.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from pydantic.alias_generators import to_camel

from transak_drift.drift.data_quality import FeatureQuality, measure_feature
from transak_drift.drift.drift_statistics import top_contributors
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.monitoring_result import Contributor

_OTHER_VALUES = "(other values)"
_MAX_OTHER_VALUES = 10_000
# What is no number of rows is read as if nothing were reported.
_MAX_ROWS = 2**53
_Count = Annotated[int, Field(ge=0, le=_MAX_ROWS)]


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class _Bucket(_Message):
    label: str = ""
    sample_count: Annotated[FiniteFloat, Field(ge=0, le=_MAX_ROWS)] = 0.0
    low_value: FiniteFloat = 0.0
    high_value: FiniteFloat = 0.0


class _Histogram(_Message):
    type: str | int = "STANDARD"
    buckets: list[_Bucket] = []


class _CommonStatistics(_Message):
    num_non_missing: _Count | None = None
    num_missing: _Count = 0


class _Statistics(_Message):
    common_stats: _CommonStatistics = _CommonStatistics()
    rank_histogram: _Histogram | None = None
    histograms: list[_Histogram] = []


class _Dataset(_Message):
    """A dataset of one feature, or that feature alone."""

    num_examples: _Count | None = None
    string_stats: _Statistics | None = None
    num_stats: _Statistics | None = None
    features: list[_Dataset] = []

    @property
    def feature(self) -> _Dataset:
        return self.features[0] if self.features else self

    @property
    def statistics(self) -> _Statistics:
        return self.feature.string_stats or self.feature.num_stats or _Statistics()


def row_count(distribution: Any) -> int | None:
    """Read a dataset's rows from the reported distribution of one of its features."""
    dataset = _parsed(distribution)
    common = dataset.statistics.common_stats
    if dataset.num_examples is not None or common.num_non_missing is None:
        return dataset.num_examples
    return common.num_non_missing + common.num_missing


def contributors(baseline: Any, target: Any) -> tuple[Contributor, ...]:
    """Find the values whose share changed most between two reported distributions of a feature."""
    before, after = _feature_statistics(baseline), _feature_statistics(target)
    found = () if before is None or after is None else top_contributors(before, after)
    return tuple(item for item in found if item.value != _OTHER_VALUES)


def feature_quality(feature: str, baseline: Any, target: Any) -> FeatureQuality | None:
    """Measure the quality of a feature by two reported distributions; None where one tells none."""
    before, after = _feature_statistics(baseline), _feature_statistics(target)
    if before is None or after is None or row_count(baseline) is None:
        return None
    return measure_feature(feature, before, after, _OTHER_VALUES)


def by_chance(baseline: Any, target: Any, metric: str) -> float | None:
    """Compute the distance by chance from the reported distributions, where they tell enough."""
    before, after = _feature_statistics(baseline), _feature_statistics(target)
    if before is None or after is None or not (before.present and after.present):
        return None
    # numpy takes a while to import, and the Cloud Function starts without it.
    from transak_drift.drift.chance import distance_by_chance, quantiles_between

    if isinstance(before, NumericalStatistics):
        quantiles = quantiles_between(_shares_below(baseline), before.present)
        before = replace(before, quantiles=quantiles)
    elif _OTHER_VALUES in before.counts:
        # Many rare values.
        counts = dict(before.counts)
        others = counts.pop(_OTHER_VALUES)
        number = min(others, _MAX_OTHER_VALUES)
        rare = {f"{_OTHER_VALUES} {place}": others // number for place in range(number)}
        before = CategoricalStatistics(counts | rare)
    return distance_by_chance(before, max(round(after.present), 1), metric)


def _shares_below(distribution: Any) -> list[tuple[float, float]]:
    """Return numbers with the share of the values that is smaller, of both kinds of histograms.

    Half of the values may lie in one bucket of equal width, which those of equal counts divide.
    """
    found = []
    for histogram in _parsed(distribution).statistics.histograms:
        buckets = histogram.buckets
        total = math.fsum(bucket.sample_count for bucket in buckets) or 1.0
        ends = accumulate(bucket.sample_count / total for bucket in buckets)
        found += [(bucket.low_value, 0.0) for bucket in buckets[:1]]
        found += [(bucket.high_value, end) for bucket, end in zip(buckets, ends, strict=True)]
    return sorted(found)


def _parsed(distribution: Any) -> _Dataset:
    try:
        return _Dataset.model_validate(distribution)
    except ValidationError:
        return _Dataset()


def _feature_statistics(distribution: Any) -> FeatureStatistics | None:
    """Read a feature; None where nothing is reported, or in another layout than documented."""
    statistics = _parsed(distribution).statistics
    common, rows = statistics.common_stats, row_count(distribution)
    missing = common.num_missing
    if statistics.rank_histogram is not None:
        buckets = statistics.rank_histogram.buckets
        counts = {bucket.label: int(bucket.sample_count) for bucket in buckets}
        rest = (common.num_non_missing or 0) - sum(counts.values())
        counts |= {_OTHER_VALUES: rest} if rest > 0 else {}
        return CategoricalStatistics(counts, missing)
    if missing and missing == rows:
        # An empty column has no histogram, and as a rule is one of texts.
        is_number = _parsed(distribution).feature.num_stats is not None
        empty = NumericalStatistics((), (), missing=missing)
        return empty if is_number else CategoricalStatistics({}, missing)
    standard = (item.buckets for item in statistics.histograms if item.type in ("STANDARD", 0))
    buckets = next(standard, [])
    lows = [bucket.low_value for bucket in buckets]
    highs = [bucket.high_value for bucket in buckets]
    if not buckets or lows[1:] != highs[:-1]:
        return None
    counts = tuple(bucket.sample_count for bucket in buckets)
    try:
        return NumericalStatistics((*lows, highs[-1]), counts, missing=missing)
    except ValueError:
        return None
