"""When drift of a feature began: stretches of days above the threshold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class DayDistance:
    """What a day's report says of one feature.

    Args:
        day: the day.
        distance: distance to the baseline in [0, 1], or None of a day without data.
        threshold: greatest allowed distance, as it was on that day.
    """

    day: date
    distance: float | None
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether the distance is above the threshold."""
        return self.distance is not None and self.distance > self.threshold


@dataclass(frozen=True, slots=True)
class DriftStretch:
    """An unbroken stretch of days above the threshold; days without data do not break it.

    Args:
        onset: its first day.
        last: its last day above the threshold.
        peak: the day with the greatest distance, the first of several.
        stands: whether no later day is at or below the threshold.
    """

    onset: DayDistance
    last: DayDistance
    peak: DayDistance
    stands: bool


def drift_stretches(days: Iterable[DayDistance]) -> tuple[DriftStretch, ...]:
    """Find the stretches of days on which a feature drifted.

    Args:
        days: at most one entry a day, in any order. A day that is missing counts as one without
            data: it neither begins nor ends a stretch.

    Returns:
        The stretches, oldest first; only the last of them can still stand.
    """
    with_data = sorted((day for day in days if day.distance is not None), key=lambda day: day.day)
    stretches: list[DriftStretch] = []
    stretch: list[DayDistance] = []
    for day in with_data:
        if day.drifted:
            stretch.append(day)
        elif stretch:
            stretches.append(_stretch(stretch, stands=False))
            stretch = []
    if stretch:
        stretches.append(_stretch(stretch, stands=True))
    return tuple(stretches)


def onset_sentence(feature: str, stretches: tuple[DriftStretch, ...]) -> str:
    """Tell in one sentence when drift of a feature began.

    Args:
        feature: its name.
        stretches: what `drift_stretches` found.

    Returns:
        For example `drift of description began on 2026-04-12 (0.52 > 0.3) and still stands`.
    """
    if not stretches:
        return f"no day has drift of {feature}"
    newest = stretches[-1]
    began = f"drift of {feature} began on {newest.onset.day} ({_comparison(newest.onset)})"
    return f"{began} and still stands" if newest.stands else f"{began} and ended: {_span(newest)}"


def _stretch(days: list[DayDistance], *, stands: bool) -> DriftStretch:
    peak = max(days, key=lambda day: day.distance or 0.0)
    return DriftStretch(onset=days[0], last=days[-1], peak=peak, stands=stands)


def _span(stretch: DriftStretch) -> str:
    return f"its last day was {stretch.last.day}, its peak {_comparison(stretch.peak)}"


def _comparison(day: DayDistance) -> str:
    distance, threshold = day.distance or 0.0, day.threshold
    digits = 2
    # 0.304 > 0.3 would else read as 0.3 > 0.3.
    while digits < 15 and round(distance, digits) <= threshold:
        digits += 1
    return f"{distance:.{digits}f} > {threshold:g}"
