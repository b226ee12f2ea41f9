"""What Google's side sends when a monitoring job has found anomalies.

Google publishes no example of what Model Monitoring v2 writes, so that the test chooses. Nothing
here is made by the product: the shapes are those of facts.md and of the recorded message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from google.cloud.aiplatform_v1beta1 import types

from transak_drift_tests.servers.api_rules import Location
from transak_drift_tests.servers.monitoring_analysis import FeatureAnalysis

_TYPES = "type.googleapis.com/google.cloud.aiplatform.logging"


class Push(StrEnum):
    """A message about a job; the two entries go to the log and through its sink."""

    LOG_ENTRY = "v1-like log entry"
    UNKNOWN_LOG_ENTRY = "log entry of another type"
    CHANNEL = "notification channel"


def log_entry(
    push: Push,
    location: Location,
    job: types.ModelMonitoringJob,
    anomalies: Sequence[FeatureAnalysis],
) -> dict[str, Any]:
    """Write the log entry about a finished job."""
    _, _, _, _, _, monitor_id, _, job_id = job.name.split("/")
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    payload: dict[str, Any] = {
        "@type": f"{_TYPES}.ModelMonitoringAnomaliesLogEntry",
        "anomalyObjective": "RAW_FEATURE_DRIFT",
        "endTime": now,
        "featureAnomalies": [
            {"featureDisplayName": a.name, "deviation": a.distance, "threshold": a.threshold}
            for a in anomalies
        ],
        "totalAnomaliesCount": str(len(anomalies)),
        "modelMonitoringJob": job.name,
    }
    if push == Push.UNKNOWN_LOG_ENTRY:
        payload = {
            "@type": f"{_TYPES}.ModelMonitoringJobAnomaliesLogEntry",
            "summary": {"anomalies": len(anomalies), "finished": [now]},
            "origin": [{"resource": job.name}],
        }
    return {
        "insertId": f"{job_id}-{len(anomalies)}",
        # Exports have the project's id here, and its number everywhere else.
        "logName": f"projects/{location.project_id}/logs/"
        "aiplatform.googleapis.com%2Fmodel_monitoring_anomaly",
        "resource": {
            "type": "aiplatform.googleapis.com/ModelMonitor",
            "labels": {
                "resource_container": f"projects/{location.project_number}",
                "location": location.location,
                "model_monitor_id": monitor_id,
            },
        },
        "severity": "WARNING",
        "timestamp": now,
        "receiveTimestamp": now,
        "jsonPayload": payload,
    }


def channel_message(
    location: Location, monitor: types.ModelMonitor, job: types.ModelMonitoringJob
) -> dict[str, Any]:
    """Write the message of a Pub/Sub notification channel, as recorded in November 2025."""
    _, number, _, region, _, monitor_id, _, job_id = job.name.split("/")
    model = monitor.model_monitoring_target.vertex_model
    page = f"vertex-ai/locations/{region}/model-monitors/{monitor_id}/model-monitoring-jobs"
    return {
        "subject": "Vertex AI Model Monitoring Job anomalies detected",
        "details": {
            "model_monitoring_job_name": job.name,
            "model_monitoring_job_url": f"https://console.cloud.google.com/{page}/{job_id}"
            f"?project={number}",
            "model_monitoring_job_create_time": f"{job.create_time:%Y-%m-%d %H:%M:%S}",
            "model_name": f"{model.model} @{model.model_version_id}",
        },
    }


def lets_through(sink_filter: str, entry: dict[str, Any]) -> bool:
    """Evaluate a sink's filter: equalities and regular expressions joined by AND.

    A field that the entry lacks does not match ("Logging query language").
    """
    lines = [line for line in sink_filter.splitlines() if not line.startswith("--")]
    return all(_matches(text.strip(), entry) for text in re.split(r"\bAND\b", " ".join(lines)))


def body(message: dict[str, Any]) -> bytes:
    """Return a message as it is published."""
    return json.dumps(message).encode()


def _matches(comparison: str, entry: dict[str, Any]) -> bool:
    path, operator, quoted = comparison.split(maxsplit=2)
    value: Any = entry
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return False
    if operator == "=~":
        return re.search(quoted.strip('"'), value) is not None
    return f'"{value}"'.lower() == quoted.lower()
