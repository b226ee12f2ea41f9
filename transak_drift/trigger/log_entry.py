"""Messages about drift as the local platform writes them, in the forms that are on record.

Nothing reads a form back. Sources: "Vertex AI: Monitor feature skew and drift, Cloud Logging" for
the payload of v1; "Cloud Logging: LogEntry"; "Monitored resources and services" for the labels; the
form of the notification channel is one that was seen.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from transak_drift.config.resource_names import model_monitor_name, monitoring_job_name
from transak_drift.drift.drift_event import DriftEvent

_TYPE = "type.googleapis.com/google.cloud.aiplatform.logging."
MODEL_MONITOR_TYPE = "aiplatform.googleapis.com/ModelMonitor"
LOG_ID = "aiplatform.googleapis.com%2Fmodel_monitoring_anomaly"


class MessageShape(StrEnum):
    """The forms in which a drift event can be told."""

    LOG_ENTRY = "log-entry"
    CHANNEL = "channel"
    UNKNOWN = "unknown"


def drift_message(event: DriftEvent, shape: MessageShape, now: datetime) -> dict[str, Any]:
    """Write the message that tells of a drift event, as JSON-ready values.

    Args:
        event: the event.
        shape: a LogEntry with the payload of v1, the message of a notification channel, which tells
            of no feature, or a LogEntry with a payload that is documented nowhere.
        now: the present time, UTC.
    """
    if shape == MessageShape.LOG_ENTRY:
        return anomaly_log_entry(event, receive_time=now)
    if shape == MessageShape.CHANNEL:
        return {
            "subject": "Vertex AI Model Monitoring Job anomalies detected",
            "details": {
                "model_monitoring_job_name": _job_name(event),
                "model_monitoring_job_create_time": f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            },
        }
    payload = {
        "@type": f"{_TYPE}ModelMonitoringJobAnomaliesLogEntry",
        "source": {"job": _job_name(event)},
        "anomalyCount": len(event.features),
    }
    return _log_entry(event, payload, now)


def anomaly_log_entry(event: DriftEvent, *, receive_time: datetime) -> dict[str, Any]:
    """Write the log entry that tells of a drift event, with the payload of v1."""
    start = {} if event.window_start is None else {"startTime": _rfc3339(event.window_start)}
    of_features = any(item.objective == "feature" for item in event.features)
    payload: dict[str, Any] = {
        "@type": f"{_TYPE}ModelMonitoringAnomaliesLogEntry",
        # The name for predictions is ours, after that of their objective in the API.
        "anomalyObjective": "RAW_FEATURE_DRIFT" if of_features else "PREDICTION_OUTPUT_DRIFT",
        "modelMonitor": model_monitor_name(event.project, event.location, event.model_monitor_id),
        "modelMonitoringJob": _job_name(event),
        **start,
        "endTime": _rfc3339(event.window_end),
        "featureAnomalies": [
            {
                "featureDisplayName": item.feature,
                "deviation": item.distance,
                "threshold": item.threshold,
            }
            for item in event.features
        ],
        "totalAnomaliesCount": len(event.features),
    }
    return _log_entry(event, payload, receive_time)


def _log_entry(event: DriftEvent, payload: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "insertId": f"{event.monitoring_job_id}-raw-feature-drift",
        "jsonPayload": payload,
        "logName": f"projects/{event.project}/logs/{LOG_ID}",
        "receiveTimestamp": _rfc3339(now),
        "resource": {
            "type": MODEL_MONITOR_TYPE,
            "labels": {
                "location": event.location,
                "model_monitor_id": event.model_monitor_id,
                "resource_container": f"projects/{event.project}",
            },
        },
        "severity": "WARNING",
        "timestamp": _rfc3339(event.window_end),
    }


def _job_name(event: DriftEvent) -> str:
    return monitoring_job_name(
        event.project, event.location, event.model_monitor_id, event.monitoring_job_id
    )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
