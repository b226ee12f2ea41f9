"""Statistics of a dataset's features: everything that drift is computed from."""

from __future__ import annotations

import math
from dataclasses import field
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, FiniteFloat, NonNegativeInt, TypeAdapter
from pydantic.dataclasses import dataclass


class FeatureKind(StrEnum):
    """How a feature is measured."""

    CATEGORICAL = "categorical"
    NUMERICAL = "numerical"


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class CategoricalStatistics:
    """Rows by value, as `canonical_text` writes it; null and the empty text are missing.

    `stored_as` is the type of the column, such as `text` or `number`; empty where it has none. The
    same values stored otherwise are equal.
    """

    counts: dict[str, int]
    missing: NonNegativeInt = 0
    stored_as: str = field(default="", compare=False)
    kind: Literal[FeatureKind.CATEGORICAL] = FeatureKind.CATEGORICAL

    def __post_init__(self) -> None:
        # One look at all is sooner done than pydantic's at each.
        if min(self.counts.values(), default=0) < 0:
            value, rows = min(self.counts.items(), key=lambda item: item[1])
            raise ValueError(f"counts.{value} is {rows}, which is no number of rows")

    @property
    def present(self) -> int:
        """Rows with a value."""
        return sum(self.counts.values())


# What earlier versions stored beside these fields is ignored.
@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="ignore"))
class NumericalStatistics:
    """Distribution of a numerical feature: TFDV's STANDARD histogram, and what is not finite.

    The edges of the buckets ascend; they are the value twice where all finite values are equal, and
    empty without a finite value. The last bucket includes its upper edge, the others do not. Counts
    need not be whole, since sketches estimate. A NaN is present, unlike a null, which is missing.
    `quantiles` are all finite values, or `chance.QUANTILES`, where they are known, in order; they
    are no part of a comparison. `stored_as` is as in `CategoricalStatistics`.

    Raises:
        ValueError: edges and counts do not go together, or a count is negative.
    """

    edges: tuple[FiniteFloat, ...]
    counts: tuple[Annotated[FiniteFloat, Field(ge=0)], ...]
    negative_infinities: NonNegativeInt = 0
    positive_infinities: NonNegativeInt = 0
    nan: NonNegativeInt = 0
    missing: NonNegativeInt = 0
    stored_as: str = field(default="", compare=False)
    quantiles: tuple[FiniteFloat, ...] = field(default=(), compare=False)
    kind: Literal[FeatureKind.NUMERICAL] = FeatureKind.NUMERICAL

    def __post_init__(self) -> None:
        edges = self.edges
        if len(self.counts) != max(len(edges) - 1, 0) or len(edges) == 1:
            raise ValueError(
                f"{len(edges)} edges and {len(self.counts)} counts do not go together: "
                "give one count for each pair of neighbouring edges"
            )
        if not self.is_point and any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"edges {edges} do not ascend")

    @property
    def is_point(self) -> bool:
        """Whether all finite values are equal."""
        return len(self.edges) == 2 and self.edges[0] == self.edges[1]

    @property
    def present(self) -> float:
        """Rows with a value, NaN and infinities included."""
        return (
            math.fsum(self.counts) + self.negative_infinities + self.positive_infinities + self.nan
        )


FeatureStatistics = CategoricalStatistics | NumericalStatistics


# A cache of the last texts is in vain where each of tens of thousands is another.
_STORED = ConfigDict(strict=True, extra="forbid", cache_strings="none")


@dataclass(frozen=True, slots=True, config=_STORED)
class DatasetStatistics:
    """Statistics of one dataset by feature; each adds up to the dataset's rows."""

    rows: NonNegativeInt
    features: dict[str, Annotated[FeatureStatistics, Field(discriminator="kind")]]
    format_version: Literal[1] = 1

    def __post_init__(self) -> None:
        for name, feature in self.features.items():
            if feature.present + feature.missing != self.rows:
                raise ValueError(
                    f"feature {name!r} has {feature.present} present and {feature.missing} "
                    f"missing values, which are not the dataset's {self.rows} rows"
                )

    def to_json(self) -> str:
        """Return the statistics as JSON; floats keep every bit, so nothing is lost."""
        return _JSON.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> DatasetStatistics:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is no JSON of dataset statistics; names the place.
        """
        return _JSON.validate_json(text)


_JSON = TypeAdapter(DatasetStatistics)
