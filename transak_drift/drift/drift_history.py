"""The reports of all days together: when drift of each feature began, and when it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult, comparison


@dataclass(frozen=True, slots=True)
class DayDistance:
    """What a day's report says of one feature; the distance is None of a day without data."""

    day: date
    distance: float | None
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether the distance is above the threshold."""
        return self.distance is not None and self.distance > self.threshold

    def __str__(self) -> str:
        return comparison(self.distance or 0.0, self.threshold, digits=2)


@dataclass(frozen=True, slots=True)
class DriftEpisode:
    """Successive days above the threshold; days without data do not end an episode.

    The peak is the day with the greatest distance, the first of several. An episode is ongoing as
    long as no later day is at or below the threshold.
    """

    onset: DayDistance
    last: DayDistance
    peak: DayDistance
    ongoing: bool


def drift_episodes(days: Iterable[DayDistance]) -> tuple[DriftEpisode, ...]:
    """Find the episodes in which a feature drifted, oldest first.

    The days are in order. A day that is missing counts as one without data: it neither begins nor
    ends an episode.
    """
    with_data = [day for day in days if day.distance is not None]
    alike = [list(group) for _, group in groupby(with_data, key=lambda day: day.drifted)]
    return tuple(
        DriftEpisode(
            onset=episode[0],
            last=episode[-1],
            peak=max(episode, key=lambda day: day.distance or 0.0),
            ongoing=episode is alike[-1],
        )
        for episode in alike
        if episode[0].drifted
    )


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """The newest report of one day, and the path or https address of its page, if it has one."""

    result: MonitoringResult
    page: str | None

    @property
    def day(self) -> date:
        return self.result.day

    def feature(self, name: str) -> FeatureDrift | None:
        """Return what was found of a feature, or None where it was not monitored."""
        return next((item for item in self.result.features if item.feature == name), None)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A new baseline, made from the training data of a model version.

    Its day is the first after those data. The time of the training itself says nothing where past
    days are monitored.
    """

    day: date
    version: str


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """What is recorded of a model, in order.

    `read_until` is the storage id of the newest record that was read, 0 where there is none.
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
        """Say when drift began, and whether it stands or how it ended."""
        episodes = self.episodes(feature)
        if not episodes:
            return f"no day has drift of {feature}"
        newest = episodes[-1]
        began = f"drift of {feature} began on {newest.onset.day} ({newest.onset})"
        if newest.ongoing:
            return f"{began} and still stands"
        return f"{began} and ended: its last day was {newest.last.day}, its peak {newest.peak}"
