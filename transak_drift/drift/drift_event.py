"""A drift event: the drift that one monitoring job found, however many messages name the job."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel

from transak_drift.config.monitoring_config import Objective
from transak_drift.drift.monitoring_result import comparison


class DriftedFeature(BaseModel, extra="forbid", frozen=True):
    """What an event keeps of a `FeatureDrift` that has a distance."""

    feature: str
    distance: float
    threshold: float
    by_chance: float | None = None
    objective: Objective = "feature"


class DriftEvent(BaseModel, extra="forbid", frozen=True):
    """The drift that one monitoring job found, as the platform tells it.

    The features, at least one, are those that drifted and may train. The window is that of the
    target dataset, in UTC: its end is exclusive, its start may be unknown.
    """

    project: str
    location: str
    model_monitor_id: str
    monitoring_job_id: str
    features: tuple[DriftedFeature, ...]
    window_start: AwareDatetime | None
    window_end: AwareDatetime

    @property
    def key(self) -> str:
        """Identity of the event: the monitor and the job, the same for every message of it."""
        return drift_event_key(self.model_monitor_id, self.monitoring_job_id)

    def summary(self) -> str:
        """Features, distances and thresholds in a line, e.g. `type 0.5978 > 0.3`."""
        return ", ".join(
            f"{f.feature} {comparison(f.distance, f.threshold)}" for f in self.features
        )


def drift_event_key(model_monitor_id: str, monitoring_job_id: str) -> str:
    """Name a drift event; neither id can contain a slash, so that keys never collide."""
    return f"{model_monitor_id}/{monitoring_job_id}"
