"""Log entries in the form in which a sink hands them to Pub/Sub, for tests of the filter."""

from __future__ import annotations

import copy
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


def changed_entry(path: str, value: Any) -> dict[str, Any]:
    """Return the drift entry with one field set, or without it when the value is None."""
    entry = copy.deepcopy(DRIFT_ENTRY)
    *parents, name = path.split(".")
    holder = entry
    for parent in parents:
        holder = holder[parent]
    if value is None:
        del holder[name]
    else:
        holder[name] = value
    return entry


MONITOR_LABEL = "resource.labels.model_monitor_id"

OUR_ENTRIES: dict[str, dict[str, Any]] = {
    "drift as the first Model Monitoring logs it": DRIFT_ENTRY,
    "another type": changed_entry("jsonPayload.@type", "type.googleapis.com/x.JobAnomalies"),
    "another payload": changed_entry("jsonPayload", {"job": f"{_MONITOR}/modelMonitoringJobs/7"}),
    "a text in place of a payload": {
        **changed_entry("jsonPayload", None),
        "textPayload": f"{_MONITOR}/modelMonitoringJobs/7 found anomalies",
    },
    "another log": changed_entry("logName", "projects/af-finanzen/logs/x"),
    "no log": changed_entry("logName", None),
    "another severity": changed_entry("severity", "ERROR"),
    "the project by its id": changed_entry(
        "resource.labels.resource_container", "projects/af-finanzen"
    ),
    "the monitor of a version": changed_entry(MONITOR_LABEL, "transak-i1-data-drift-monitor-v42"),
}
"""What passes: nothing is known of the entries of Model Monitoring v2 but their resource."""

OTHER_ENTRIES: dict[str, dict[str, Any]] = {
    "another monitor": changed_entry(MONITOR_LABEL, "churn-monitor"),
    "a monitor whose id begins with ours": changed_entry(
        MONITOR_LABEL, "transak-i1-data-drift-monitor-2"
    ),
    "a monitor whose id begins as that of a version": changed_entry(
        MONITOR_LABEL, "transak-i1-data-drift-monitor-v2-test"
    ),
    "a monitor whose id ends with ours": changed_entry(
        MONITOR_LABEL, "new-transak-i1-data-drift-monitor"
    ),
    "an endpoint of the first Model Monitoring": changed_entry(
        "resource.type", "aiplatform.googleapis.com/ModelDeploymentMonitoringJob"
    ),
    "audit of a change of the monitor": {
        "logName": "projects/af-finanzen/logs/cloudaudit.googleapis.com%2Factivity",
        "resource": {
            "type": "audited_resource",
            "labels": {"service": "aiplatform.googleapis.com", "project_id": "af-finanzen"},
        },
        "severity": "NOTICE",
        "protoPayload": {"methodName": "google.cloud.aiplatform.v1beta1.UpdateModelMonitor"},
    },
    "an empty entry": {},
}
