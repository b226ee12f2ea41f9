"""The reports of all windows together: when drift of each feature began, and when it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from transak_drift.config.monitoring_window import Window
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult, comparison


@dataclass(frozen=True, slots=True)
class WindowDistance:
    """What a window's report says of one feature; the distance is None of one without data."""

    window: Window
    distance: float | None
    threshold: float
    is_dismissed: bool = False

    @property
    def drifted(self) -> bool:
        """Whether the distance is above the threshold, and that is not dismissed."""
        is_above = self.distance is not None and self.distance > self.threshold
        return is_above and not self.is_dismissed

    def __str__(self) -> str:
        return comparison(self.distance or 0.0, self.threshold, digits=2)


@dataclass(frozen=True, slots=True)
class DriftEpisode:
    """Successive windows with drift; windows without data do not end an episode.

    The peak is the window with the greatest distance, the first of several. An episode is ongoing
    as long as no later window is without drift.
    """

    onset: WindowDistance
    last: WindowDistance
    peak: WindowDistance
    ongoing: bool


def drift_episodes(windows: Iterable[WindowDistance]) -> tuple[DriftEpisode, ...]:
    """Find the episodes in which a feature drifted, oldest first.

    The windows are in order. One that is missing counts as one without data: it neither begins nor
    ends an episode.
    """
    with_data = [item for item in windows if item.distance is not None]
    alike = [list(group) for _, group in groupby(with_data, key=lambda item: item.drifted)]
    return tuple(
        DriftEpisode(
            onset=episode[0],
            last=episode[-1],
            peak=max(episode, key=lambda item: item.distance or 0.0),
            ongoing=episode is alike[-1],
        )
        for episode in alike
        if episode[0].drifted
    )


@dataclass(frozen=True, slots=True)
class RecordedWindow:
    """The newest report of one window, and the path or https address of its page, if it has one."""

    result: MonitoringResult
    page: str | None

    @property
    def window(self) -> Window:
        return self.result.window

    def feature(self, name: str) -> FeatureDrift | None:
        """Return what was found of a feature, or None where it was not monitored."""
        return next((item for item in self.result.features if item.feature == name), None)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A new baseline, made from the training data of a model version.

    Its day is the first after those data, or that of a rollback. The time of the training itself
    says nothing where past windows are monitored.
    """

    day: date
    version: str


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """What is recorded of a model, in order.

    `read_until` is the storage id of the newest record that was read, 0 where there is none.
    """

    windows: Sequence[RecordedWindow]
    promotions: Sequence[Promotion]
    read_until: int

    def distances(self, feature: str) -> list[WindowDistance]:
        """Return the distance of a feature in each window that has a report about it."""
        return [
            WindowDistance(recorded.window, found.distance, found.threshold, bool(found.dismissed))
            for recorded in self.windows
            if (found := recorded.feature(feature)) is not None
        ]

    def episodes(self, feature: str) -> tuple[DriftEpisode, ...]:
        """Return when a feature drifted."""
        return drift_episodes(self.distances(feature))

    def summary(self, feature: str) -> str:
        """Say when drift began, and whether it stands or how it ended."""
        episodes = self.episodes(feature)
        if not episodes:
            return f"no window has drift of {feature}"
        newest = episodes[-1]
        began = f"drift of {feature} began {newest.onset.window.when} ({newest.onset})"
        if newest.ongoing:
            return f"{began} and still stands"
        return (
            f"{began} and ended: its last window was {newest.last.window}, its peak {newest.peak}"
        )
