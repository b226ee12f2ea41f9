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
            "model_monitor": "transak-i1-data-drift-monitor",
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


def _with_text_instead_of_json() -> dict[str, Any]:
    entry = changed_entry("jsonPayload", None)
    entry["textPayload"] = 'anomalyObjective = "RAW_FEATURE_DRIFT" transak-i1-data-drift-monitor'
    return entry


OTHER_ENTRIES: dict[str, dict[str, Any]] = {
    "skew": changed_entry("jsonPayload.anomalyObjective", "RAW_FEATURE_SKEW"),
    "attribution skew": changed_entry("jsonPayload.anomalyObjective", "FEATURE_ATTRIBUTION_SKEW"),
    "attribution drift": changed_entry("jsonPayload.anomalyObjective", "FEATURE_ATTRIBUTION_DRIFT"),
    "both objectives named": changed_entry(
        "jsonPayload.anomalyObjective", "RAW_FEATURE_DRIFT,RAW_FEATURE_SKEW"
    ),
    "another monitor": changed_entry("resource.labels.model_monitor", "churn-monitor"),
    "a monitor whose id begins with ours": changed_entry(
        "resource.labels.model_monitor", "transak-i1-data-drift-monitor-2"
    ),
    "another project": changed_entry(
        "logName",
        "projects/af-versicherung/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly",
    ),
    "a project whose id ends with ours": changed_entry(
        "logName",
        "projects/test-af-finanzen/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly",
    ),
    "another location": changed_entry("resource.labels.location", "europe-west4"),
    "an endpoint of the first Model Monitoring": changed_entry(
        "resource.type", "aiplatform.googleapis.com/Endpoint"
    ),
    "no objective": changed_entry("jsonPayload.anomalyObjective", None),
    "no payload": changed_entry("jsonPayload", None),
    "no resource": changed_entry("resource", None),
    "no log name": changed_entry("logName", None),
    "text payload": _with_text_instead_of_json(),
    "status of a monitoring job": {
        "insertId": "9f2k1",
        "logName": "projects/af-finanzen/logs/aiplatform.googleapis.com%2Fmodel_monitoring",
        "resource": DRIFT_ENTRY["resource"],
        "severity": "INFO",
        "timestamp": "2026-05-02T00:02:11Z",
        "jsonPayload": {
            "modelMonitoringJob": f"{_MONITOR}/modelMonitoringJobs/7382940182736455",
            "state": "JOB_STATE_SUCCEEDED",
        },
    },
    "status of a pipeline": {
        "insertId": "-gs8x0he1i7u2",
        "logName": "projects/af-finanzen/logs/aiplatform.googleapis.com%2Fpipeline_job_task_events",
        "resource": {
            "type": "aiplatform.googleapis.com/PipelineJob",
            "labels": {
                "location": "europe-west6",
                "pipeline_job_id": "pipeline-train-20260502001500",
                "resource_container": "projects/123456789",
            },
        },
        "severity": "INFO",
        "timestamp": "2026-05-02T00:20:39Z",
        "jsonPayload": {"pipelineName": "pipeline-train", "type": "STATUS", "status": "RUNNING"},
    },
    "an error of our monitor": {
        "insertId": "k3j2h1",
        "logName": "projects/af-finanzen/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly",
        "resource": DRIFT_ENTRY["resource"],
        "severity": "ERROR",
        "timestamp": "2026-05-02T00:14:06Z",
        "jsonPayload": {"message": "RAW_FEATURE_DRIFT could not be computed"},
    },
    "audit of a change of the monitor": {
        "insertId": "1x9d2l7e1",
        "logName": "projects/af-finanzen/logs/cloudaudit.googleapis.com%2Factivity",
        "resource": {
            "type": "audited_resource",
            "labels": {"service": "aiplatform.googleapis.com", "project_id": "af-finanzen"},
        },
        "severity": "NOTICE",
        "protoPayload": {"methodName": "google.cloud.aiplatform.v1beta1.UpdateModelMonitor"},
    },
    "noise at the highest severity": {
        "logName": "projects/af-finanzen/logs/stderr",
        "resource": {"type": "k8s_container", "labels": {"location": "europe-west6"}},
        "severity": "EMERGENCY",
        "textPayload": "RAW_FEATURE_DRIFT",
    },
    "an empty entry": {},
}
