"""Log entries in the form in which a sink hands them to Pub/Sub."""

from __future__ import annotations

from typing import Any

_MONITOR = "projects/123456789/locations/europe-west6/modelMonitors/transak-i1-data-drift-monitor"

DRIFT_ENTRY: dict[str, Any] = {
    "insertId": "1pn7rrzf2cv5kq",
    "logName": "projects/af-finanzen/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly",
    "receiveTimestamp": "2026-05-02T00:14:07.482913615Z",
    "resource": {
        "labels": {
            "location": "europe-west6",
            "model_monitor_id": "transak-i1-data-drift-monitor",
            "resource_container": "projects/123456789",
        },
        "type": "aiplatform.googleapis.com/ModelMonitor",
    },
    "severity": "WARNING",
    "timestamp": "2026-05-02T00:14:06.991203Z",
    "jsonPayload": {
        "@type": "type.googleapis.com/google.cloud.aiplatform.logging"
        ".ModelMonitoringAnomaliesLogEntry",
        "anomalyObjective": "RAW_FEATURE_DRIFT",
        "modelMonitor": _MONITOR,
        "modelMonitoringJob": f"{_MONITOR}/modelMonitoringJobs/7382940182736455",
        "startTime": "2026-05-01T00:00:00Z",
        "endTime": "2026-05-02T00:00:00Z",
        "featureAnomalies": [
            {"featureDisplayName": "description", "deviation": 0.61, "threshold": 0.3}
        ],
        "totalAnomaliesCount": 1,
    },
}
