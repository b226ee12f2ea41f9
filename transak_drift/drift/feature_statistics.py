"""Statistics of a dataset's features: everything that drift is computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transak_drift.drift.histogram import Bucket, Histogram


class FeatureKind(StrEnum):
    """How a feature is measured."""

    CATEGORICAL = "categorical"
    NUMERICAL = "numerical"


class StatisticsFormatError(ValueError):
    """Text that holds no dataset statistics; the message says where and why."""


def _require_count(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} = {value} is no count: give a finite number >= 0")


@dataclass(frozen=True, slots=True)
class CategoricalStatistics:
    """How often each value of a categorical feature occurs.

    Args:
        counts: rows by value, each as `canonical_text` writes it.
        missing: rows without a value: null or the empty text.

    Raises:
        ValueError: a count is negative.
    """

    counts: Mapping[str, int]
    missing: int = 0
    kind: Literal[FeatureKind.CATEGORICAL] = FeatureKind.CATEGORICAL

    def __post_init__(self) -> None:
        _require_count("missing", self.missing)
        if min(self.counts.values(), default=0) < 0:
            value, count = min(self.counts.items(), key=lambda item: item[1])
            raise ValueError(f"counts[{value!r}] = {count} is no count: give a number >= 0")

    @property
    def present(self) -> int:
        """Rows with a value."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class NumericalStatistics:
    """Distribution of a numerical feature.

    Args:
        edges: edges of the equal-width buckets of the finite values, ascending, as
            `equal_width_edges(minimum, maximum)`; the value twice where all finite values are
            equal; empty without a finite value.
        counts: finite values in each bucket, one fewer than `edges`; the last bucket includes
            its upper edge, the others do not.
        minimum: least finite value, or None without one.
        maximum: greatest finite value, or None without one.
        mean: mean of the finite values, or None without one or where their sum overflows.
        negative_infinities: values that are -inf.
        positive_infinities: values that are +inf.
        nan: values that are NaN; a NaN is present, unlike a null.
        missing: rows without a value (null).

    Raises:
        ValueError: edges, counts and bounds do not go together, or a count is negative.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    minimum: float | None
    maximum: float | None
    mean: float | None = None
    negative_infinities: int = 0
    positive_infinities: int = 0
    nan: int = 0
    missing: int = 0
    kind: Literal[FeatureKind.NUMERICAL] = FeatureKind.NUMERICAL

    def __post_init__(self) -> None:
        for name in ("negative_infinities", "positive_infinities", "nan", "missing"):
            _require_count(name, getattr(self, name))
        for index, count in enumerate(self.counts):
            _require_count(f"counts[{index}]", count)
        if len(self.counts) != max(len(self.edges) - 1, 0) or len(self.edges) == 1:
            raise ValueError(
                f"{len(self.edges)} edges and {len(self.counts)} counts do not go together: "
                "give one count for each pair of neighbouring edges"
            )
        if not all(math.isfinite(edge) for edge in self.edges):
            raise ValueError(f"edges {self.edges} are not all finite")
        ascending = all(low < high for low, high in pairwise(self.edges))
        if not ascending and not (len(self.edges) == 2 and self.edges[0] == self.edges[1]):
            raise ValueError(f"edges {self.edges} do not ascend")
        bounds = (self.edges[0], self.edges[-1]) if self.edges else (None, None)
        if (self.minimum, self.maximum) != bounds:
            raise ValueError(
                f"minimum {self.minimum} and maximum {self.maximum} are not the outer edges "
                f"{bounds}"
            )

    @property
    def present(self) -> float:
        """Rows with a value, NaN and infinities included."""
        return (
            math.fsum(self.counts) + self.negative_infinities + self.positive_infinities + self.nan
        )

    @property
    def histogram(self) -> Histogram:
        """The STANDARD histogram as TensorFlow Data Validation builds it.

        Infinities are buckets of their own beside the finite values.
        Source: generate_equi_width_histogram in TFDV's `utils/quantiles_util.py` (1.16).
        """
        buckets = [
            Bucket(low, high, count)
            for (low, high), count in zip(pairwise(self.edges), self.counts, strict=True)
        ]
        if self.negative_infinities:
            buckets.insert(0, Bucket(-math.inf, -math.inf, self.negative_infinities))
        if self.positive_infinities:
            buckets.append(Bucket(math.inf, math.inf, self.positive_infinities))
        return Histogram(tuple(buckets), self.nan)


FeatureStatistics = CategoricalStatistics | NumericalStatistics


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """Statistics of one dataset by feature; each adds up to the dataset's rows."""

    rows: int
    features: Mapping[str, FeatureStatistics]

    def __post_init__(self) -> None:
        _require_count("rows", self.rows)
        for name, feature in self.features.items():
            if feature.present + feature.missing != self.rows:
                raise ValueError(
                    f"feature {name!r} has {feature.present} present and {feature.missing} "
                    f"missing values, which are not the dataset's {self.rows} rows"
                )

    def to_json(self) -> str:
        """Return the statistics as JSON; floats keep every bit, so nothing is lost."""
        return _Document(rows=self.rows, features=dict(self.features)).model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> DatasetStatistics:
        """Read what `to_json` wrote.

        Raises:
            StatisticsFormatError: the text is no JSON of dataset statistics; names the place.
        """
        try:
            document = _Document.model_validate_json(text)
            return cls(document.rows, document.features)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            path = ".".join(str(part) for part in first["loc"]) or "(document)"
            raise StatisticsFormatError(f"{path}: {first['msg']}") from None
        except ValueError as error:
            raise StatisticsFormatError(str(error)) from None


class _Document(BaseModel):
    """The JSON form: the statistics and the version of their format."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    rows: Annotated[int, Field(ge=0)]
    features: dict[str, Annotated[FeatureStatistics, Field(discriminator="kind")]]
