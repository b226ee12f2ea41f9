"""Monitoring jobs of the local platform, and the messages that name them, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.drift.drift_event import DriftedFeature, DriftEvent
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.local.state_directory import StateDirectory
from transak_drift.trigger.log_entry import anomaly_log_entry

PROJECT = "af-finanzen"
LOCATION = "europe-west6"
MONITOR = "transak-i1-data-drift-monitor"
MAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def drift_event(
    job: str = "job-1",
    distances: Mapping[str, float] | None = None,
    *,
    end: datetime = MAY_1 + timedelta(days=1),
    monitor: str = MONITOR,
    project: str = PROJECT,
) -> DriftEvent:
    """Return drift of our monitor over one day; of `description` by 0.6 unless told otherwise."""
    return DriftEvent(
        project=project,
        location=LOCATION,
        model_monitor_id=monitor,
        monitoring_job_id=job,
        features=tuple(
            DriftedFeature(feature=feature, distance=distance, threshold=0.3)
            for feature, distance in (distances or {"description": 0.6}).items()
        ),
        window_start=end - timedelta(days=1),
        window_end=end,
    )


def message_body(event: DriftEvent) -> bytes:
    """Return the body of the message that the log sink publishes for an event."""
    entry = anomaly_log_entry(event, receive_time=event.window_end)
    return json.dumps(entry, ensure_ascii=False).encode("utf-8")


def monitoring_result(
    job: str = "job-1",
    distances: Mapping[str, float | None] | None = None,
    *,
    end: datetime = MAY_1 + timedelta(days=1),
    config: MonitoringConfig | None = None,
) -> MonitoringResult:
    """Return what a job found: the distance of each feature, threshold 0.3."""
    monitor = MONITOR if config is None else config.model_monitor_id
    return MonitoringResult(
        job_name=monitoring_job_name(PROJECT, LOCATION, monitor, job),
        window=WindowCalendar().ending_at(end),
        baseline_name="training data of model 1",
        baseline_rows=1_000,
        target_rows=1_000,
        features=tuple(
            FeatureDrift(feature=feature, metric="l_infinity", distance=distance, threshold=0.3)
            for feature, distance in (distances or {"description": 0.6}).items()
        ),
        window_start=end - timedelta(days=1),
        window_end=end,
    )


def store_job(
    root: Path,
    config: MonitoringConfig,
    job: str = "job-1",
    distances: Mapping[str, float] | None = None,
    *,
    end: datetime = MAY_1 + timedelta(days=1),
) -> bytes:
    """Store a finished job of the local platform, and return the message that names it."""
    file = StateDirectory(root, config).monitoring_result(job)
    file.parent.mkdir(parents=True, exist_ok=True)
    result = monitoring_result(job, distances, end=end, config=config)
    file.write_text(result.model_dump_json(), encoding="utf-8")
    return message_body(drift_event(job, distances, end=end, monitor=config.model_monitor_id))
