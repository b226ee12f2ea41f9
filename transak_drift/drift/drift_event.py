"""A drift event: the drift that one monitoring job found, however many messages tell of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

DRIFT_OBJECTIVE = "RAW_FEATURE_DRIFT"
LONGEST_PIPELINE_JOB_ID = 128


@dataclass(frozen=True, slots=True)
class FeatureAnomaly:
    """One feature whose distance a monitoring job reports.

    Args:
        feature: name of the feature, e.g. `description`.
        deviation: distance between target and baseline dataset, in [0, 1].
        threshold: greatest allowed distance as the job knew it, or None where it does not say.
    """

    feature: str
    deviation: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """What one log entry says about the drift that a monitoring job found.

    Args:
        project: id or number of the project, as in the resource name of the job.
        location: region of the monitor.
        model_monitor_id: last part of the ModelMonitor's resource name.
        monitoring_job_id: last part of the ModelMonitoringJob's resource name.
        objective: the anomaly objective, e.g. `RAW_FEATURE_DRIFT`.
        anomalies: the reported features.
        window_start: start of the target dataset's time window, UTC, or None.
        window_end: end of the target dataset's time window (exclusive), UTC.
        log_entry_id: the log entry's insertId, or an empty string.
    """

    project: str
    location: str
    model_monitor_id: str
    monitoring_job_id: str
    objective: str
    anomalies: tuple[FeatureAnomaly, ...]
    window_start: datetime | None
    window_end: datetime
    log_entry_id: str

    @property
    def key(self) -> str:
        """Identity of the event: the monitor and the job, the same for every message of it."""
        return drift_event_key(self.model_monitor_id, self.monitoring_job_id)


def drift_event_key(model_monitor_id: str, monitoring_job_id: str) -> str:
    """Name a drift event, for run keys, tags and the model registry.

    Args:
        model_monitor_id: id of the ModelMonitor.
        monitoring_job_id: id of its ModelMonitoringJob.

    Returns:
        `<monitor id>/<job id>`; neither id can contain a slash, so keys never collide.
    """
    return f"{model_monitor_id}/{monitoring_job_id}"


def last_day(window_end: datetime) -> date:
    """Return the last day (UTC) of a time window.

    Args:
        window_end: end of the window, exclusive: midnight ends the day before.
    """
    return (window_end.astimezone(UTC) - timedelta(microseconds=1)).date()


def pipeline_job_id(training_pipeline: str, event_key: str) -> str:
    """Derive the id of the training PipelineJob, so that a second creation is refused.

    Args:
        training_pipeline: name of the training pipeline, e.g. `pipeline-train`.
        event_key: key of the drift event.

    Returns:
        An id of at most 128 characters that matches `[a-z][-a-z0-9]*`, the same for the same
        event from every trigger. Source: CreatePipelineJobRequest.pipeline_job_id, Vertex AI API.
    """
    digest = hashlib.sha256(event_key.encode()).hexdigest()[:32]
    return f"{training_pipeline[: LONGEST_PIPELINE_JOB_ID - 40]}-drift-{digest}"


def merge_events(first: DriftEvent, second: DriftEvent) -> DriftEvent:
    """Join what two messages say of the same drift event.

    Args:
        first: the event as known so far.
        second: the same event (equal key) from another message.

    Returns:
        The event with the anomalies of both, of a feature named twice the greater deviation, and
        with a window that spans both.

    Raises:
        ValueError: the keys differ.
    """
    if first.key != second.key:
        raise ValueError(f"drift events {first.key!r} and {second.key!r} are not the same")
    starts = [time for time in (first.window_start, second.window_start) if time is not None]
    merged: dict[str, FeatureAnomaly] = {}
    for anomaly in (*first.anomalies, *second.anomalies):
        known = merged.get(anomaly.feature)
        if known is None or anomaly.deviation > known.deviation:
            merged[anomaly.feature] = anomaly
    return DriftEvent(
        project=first.project,
        location=first.location,
        model_monitor_id=first.model_monitor_id,
        monitoring_job_id=first.monitoring_job_id,
        objective=first.objective,
        anomalies=tuple(merged[feature] for feature in sorted(merged)),
        window_start=min(starts, default=None),
        window_end=max(first.window_end, second.window_end),
        log_entry_id=first.log_entry_id,
    )
