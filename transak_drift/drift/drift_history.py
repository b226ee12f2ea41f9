"""The reports of all days together: when drift of each feature began, and when it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult, comparison


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
class DriftEpisode:
    """Successive days above the threshold; days without data do not end an episode.

    Args:
        onset: its first day.
        last: its last day above the threshold.
        peak: the day with the greatest distance, the first of several.
        ongoing: whether no later day is at or below the threshold.
    """

    onset: DayDistance
    last: DayDistance
    peak: DayDistance
    ongoing: bool


def drift_episodes(days: Iterable[DayDistance]) -> tuple[DriftEpisode, ...]:
    """Find the episodes in which a feature drifted.

    Args:
        days: at most one entry a day, in any order. A day that is missing counts as one without
            data: it neither begins nor ends an episode.

    Returns:
        The episodes, oldest first; only the last of them can be ongoing.
    """
    with_data = sorted((day for day in days if day.distance is not None), key=lambda day: day.day)
    episodes: list[DriftEpisode] = []
    episode: list[DayDistance] = []
    for day in with_data:
        if day.drifted:
            episode.append(day)
        elif episode:
            episodes.append(_episode(episode, ongoing=False))
            episode = []
    if episode:
        episodes.append(_episode(episode, ongoing=True))
    return tuple(episodes)


def drift_summary(feature: str, episodes: Sequence[DriftEpisode]) -> str:
    """Say in one sentence when drift of a feature began.

    Args:
        feature: its name.
        episodes: what `drift_episodes` found.

    Returns:
        For example `drift of description began on 2026-04-12 (0.52 > 0.3) and still stands`.
    """
    if not episodes:
        return f"no day has drift of {feature}"
    newest = episodes[-1]
    began = f"drift of {feature} began on {newest.onset.day} ({_comparison(newest.onset)})"
    if newest.ongoing:
        return f"{began} and still stands"
    peak = _comparison(newest.peak)
    return f"{began} and ended: its last day was {newest.last.day}, its peak {peak}"


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """The newest report of one day.

    Args:
        result: what the day's monitoring run found.
        page: path or https address of the report page, or None where none was written.
    """

    result: MonitoringResult
    page: str | None

    @property
    def day(self) -> date:
        """The day."""
        return self.result.day

    def feature(self, name: str) -> FeatureDrift | None:
        """Return what was found of a feature, or None where it was not monitored."""
        return next((item for item in self.result.features if item.feature == name), None)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A new baseline.

    Args:
        day: the first day after the data that it was made from. The time of the training itself
            says nothing where past days are monitored.
        version: the model version whose training data it is.
    """

    day: date
    version: str


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """What is recorded of a model.

    Args:
        days: in order.
        promotions: in order.
        read_until: storage id of the newest record that was read, 0 where there is none.
    """

    days: Sequence[RecordedDay]
    promotions: Sequence[Promotion]
    read_until: int

    def distances(self, feature: str) -> list[DayDistance]:
        """Return the distance of a feature on each day that has a report about it."""
        return [
            DayDistance(day.day, found.distance, found.threshold)
            for day in self.days
            if (found := day.feature(feature)) is not None
        ]

    def episodes(self, feature: str) -> tuple[DriftEpisode, ...]:
        """Return when a feature drifted."""
        return drift_episodes(self.distances(feature))

    def summary(self, feature: str) -> str:
        """Say in one sentence when drift of a feature began."""
        return drift_summary(feature, self.episodes(feature))


def _episode(days: Sequence[DayDistance], *, ongoing: bool) -> DriftEpisode:
    peak = max(days, key=lambda day: day.distance or 0.0)
    return DriftEpisode(onset=days[0], last=days[-1], peak=peak, ongoing=ongoing)


def _comparison(day: DayDistance) -> str:
    return comparison(day.distance or 0.0, day.threshold, digits=2)
