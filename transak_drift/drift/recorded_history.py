"""The drift reports and the promotions of all days, as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from transak_drift.drift.drift_onset import DayDistance, DriftStretch, drift_stretches


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """The newest report of one day.

    Args:
        day: the day.
        distances: by feature.
        verdict: for people.
        page: path or https address of the report page, or None where none was written.
    """

    day: date
    distances: Mapping[str, DayDistance]
    verdict: str
    page: str | None


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
class RecordedHistory:
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
        return [day.distances[feature] for day in self.days if feature in day.distances]

    def stretches(self, feature: str) -> tuple[DriftStretch, ...]:
        """Return when a feature drifted."""
        return drift_stretches(self.distances(feature))
