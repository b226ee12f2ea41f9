"""Looks at the project, its log and the sink, and at who may do what; changes nothing.

Source: "Cloud Resource Manager API v1", projects.get and projects.testIamPermissions; "Cloud
Logging API v2", projects.sinks.list and entries.list, and its query language; "Cloud Storage JSON
API", buckets.getIamPolicy; "Cloud Monitoring API v3", projects.notificationChannels.get; "Service
agents" (IAM).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import topic_name
from transak_drift.platform import PlatformError
from transak_drift.trigger.log_entry import MODEL_MONITOR_TYPE
from transak_drift.trigger.message import Rejected, read_message
from transak_drift.trigger.sink_filter import TEMPLATE_NAME, lets_through, sink_filter

if TYPE_CHECKING:
    from transak_drift.google_cloud.session import RestSession

VERTEX_PERMISSIONS = (
    "aiplatform.models.get",
    "aiplatform.models.list",
    "aiplatform.modelEvaluations.list",
    "aiplatform.modelMonitors.create",
    "aiplatform.modelMonitors.get",
    "aiplatform.modelMonitors.list",
    "aiplatform.modelMonitors.searchModelMonitoringAlerts",
    "aiplatform.modelMonitors.searchModelMonitoringStats",
    "aiplatform.modelMonitors.update",
    "aiplatform.modelMonitoringJobs.create",
    "aiplatform.modelMonitoringJobs.get",
    "aiplatform.modelMonitoringJobs.list",
    "aiplatform.pipelineJobs.create",
    "aiplatform.pipelineJobs.get",
)
BATCH_PREDICTION_PERMISSIONS = ("aiplatform.batchPredictionJobs.list",)
QUERY_PERMISSIONS = ("bigquery.jobs.create",)
CANCEL_PERMISSIONS = ("aiplatform.pipelineJobs.cancel",)

_RESOURCE_MANAGER = "enable the Cloud Resource Manager API; check project_id"
_APPLY = "run `terraform apply` in terraform/"
_MAX_SINKS = 500
# Roles with storage.objects.create, which the files of a monitoring job need.
_WRITER_ROLES = {
    *("roles/storage.objectUser", "roles/storage.objectAdmin", "roles/storage.objectCreator"),
    *("roles/storage.admin", "roles/storage.legacyBucketOwner"),
    "roles/storage.legacyBucketWriter",
}
_MAX_SHOWN = 3_000
_CHECKED_ENTRIES = 10


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and found, what to do, and the log entry that was found, if any.

    What could not be looked at is unknown, and open as if missing.
    """

    name: str
    state: Literal["ok", "missing", "unknown"]
    detail: str
    fix: str = ""
    example: str = ""

    @property
    def is_open(self) -> bool:
        return self.state != "ok"


def passed(name: str, detail: str, example: str = "") -> Check:
    return Check(name, "ok", detail, example=example)


def missing(name: str, detail: str, fix: str, example: str = "") -> Check:
    return Check(name, "missing", detail, fix, example)


def unknown(name: str, detail: str, fix: str) -> Check:
    return Check(name, "unknown", detail, fix)


def agent(service: str, number: str) -> str:
    """Return the IAM principal of a service agent, e.g. `vertex-mm`, of a project's number."""
    return f"serviceAccount:service-{number}@gcp-sa-{service}.iam.gserviceaccount.com"


def check_project_number(
    session: RestSession, config: MonitoringConfig
) -> tuple[Check, str | None]:
    """Hold the configured project number against the project's own, which is returned as well."""
    name = "project number"
    try:
        project = session.call("GET", "cloudresourcemanager", f"/v1/projects/{config.project_id}")
    except PlatformError as error:
        fix = f"{_RESOURCE_MANAGER}; grant resourcemanager.projects.get"
        return unknown(name, str(error), fix), None
    number = str(project["projectNumber"])
    check = passed(name, f"{config.project_id} is {number}")
    if config.project_number not in (None, number):
        detail = f"project_number is {config.project_number}, but {check.detail}"
        check = missing(name, detail, "correct project_number in the configuration, or remove it")
    return check, number


def check_permissions(
    session: RestSession, config: MonitoringConfig, permissions: Iterable[str]
) -> Check:
    """Ask which of the needed permissions the caller has on the project."""
    name = "IAM on Vertex AI"
    needed = sorted(set(permissions))
    path = f"/v1/projects/{config.project_id}:testIamPermissions"
    try:
        answer = session.call("POST", "cloudresourcemanager", path, {"permissions": needed})
    except PlatformError as error:
        return unknown(name, str(error), _RESOURCE_MANAGER)
    lacking = [item for item in needed if item not in answer.get("permissions", [])]
    if not lacking:
        return passed(name, f"{len(needed)} permissions on {config.project_id}")
    fix = (
        f"grant roles/aiplatform.user on the project {config.project_id}, or a custom role "
        "with them as terraform/ makes it"
    )
    if any(item in QUERY_PERMISSIONS for item in lacking):
        fix += "; roles/bigquery.jobUser for queries in BigQuery"
    return missing(name, f"missing: {', '.join(lacking)}", fix)


def check_log_sink(session: RestSession, config: MonitoringConfig) -> tuple[Check, str | None]:
    """Find the sink by its destination, and hold its filter against the project's.

    Its writer identity is returned as well, or None where there is no such sink.
    """
    name = "log sink"
    destination = f"pubsub.googleapis.com/{topic_name(config.project_id, config.trigger_topic)}"
    path = f"/v2/projects/{config.project_id}/sinks"
    try:
        sinks = session.list_all("GET", "logging", path, "sinks", {"pageSize": _MAX_SINKS})
    except PlatformError as error:
        fix = f"enable the Logging API, grant roles/logging.viewer on {config.project_id}"
        return unknown(name, str(error), fix), None
    to_topic = [sink for sink in sinks if sink.get("destination") == destination]
    if not to_topic:
        return missing(name, f"no sink writes to {destination}", _APPLY), None
    expected = _lines(sink_filter(config.model_monitor_id, config.further_model_monitor_ids))
    right = [sink for sink in to_topic if _lines(sink.get("filter", "")) == expected]
    names = ", ".join(str(sink.get("name")) for sink in right or to_topic)
    if not right:
        detail = f"the filter of {names} is not the one of monitor {config.model_monitor_id}"
        fix = f"{_APPLY}: it deploys transak_drift/trigger/{TEMPLATE_NAME}"
        return missing(name, detail, fix), None
    if right[0].get("disabled"):
        return missing(name, f"{right[0]['name']} is disabled", "enable it"), None
    check = passed(name, f"{names} with the project's own filter")
    if len(right) > 1:
        detail = f"{names} have the same filter, so that each message comes more than once"
        check = missing(name, detail, "delete all but one")
    return check, right[0].get("writerIdentity")


def check_notification_channel(
    session: RestSession, config: MonitoringConfig, channel: str | None
) -> Check:
    """Look whether the trigger's notification channel, if any, publishes to the trigger topic."""
    name = "notification channel"
    if channel is None:
        return passed(
            name,
            f"not in use: TRANSAK_DRIFT_TRIGGER_CHANNELS names none for {config.trigger_topic}, so "
            "that messages come from the log sink alone",
        )
    try:
        found = session.call("GET", "monitoring", f"/v3/{channel}")
    except PlatformError as error:
        return unknown(name, str(error), f"grant roles/monitoring.viewer; or {_APPLY}")
    topic = topic_name(config.project_id, config.trigger_topic)
    faults = []
    if found.get("type") != "pubsub":
        faults.append(f"its type is {found.get('type')}, not pubsub")
    elif (publishes_to := found.get("labels", {}).get("topic")) != topic:
        faults.append(f"it publishes to {publishes_to}, not to {topic}")
    if found.get("enabled") is False:
        faults.append("it is disabled")
    if faults:
        return missing(name, f"{channel}: {'; '.join(faults)}", _APPLY)
    return passed(name, f"{channel} publishes to {topic}")


def check_monitoring_output(session: RestSession, bucket: str, principal: str) -> Check:
    """Look whether Vertex AI's monitoring agent may write to the bucket of `monitoring_output`."""
    name = "IAM on the monitoring output"
    path = f"/storage/v1/b/{quote(bucket, safe='')}/iam"
    try:
        policy = session.call("GET", "storage", path, {"optionsRequestedPolicyVersion": 3})
    except PlatformError as error:
        fix = "create the bucket; grant storage.buckets.getIamPolicy on it"
        return unknown(name, str(error), fix)
    for item in policy.get("bindings", []):
        if item.get("role") in _WRITER_ROLES and principal in item.get("members", []):
            return passed(name, f"{principal} may write to gs://{bucket}")
    return missing(
        name,
        f"{principal} has no role on gs://{bucket}, so that monitoring jobs fail",
        f"grant roles/storage.objectUser on the bucket to it: {_APPLY}",
    )


def newest_entries(
    session: RestSession,
    config: MonitoringConfig,
    monitor_ids: Collection[str],
    since: datetime,
    limit: int,
) -> list[dict[str, Any]]:
    """Read the newest log entries since a time that mention one of the monitors, newest first.

    Only the type of the resource, which is published, is asked for: the monitor may be named
    anywhere in the entry, so that the sink's filter can be held against what is really there.
    The call needs `logging.logEntries.list` on the project.
    """
    if not monitor_ids:
        return []
    mentions = " OR ".join(json.dumps(monitor_id) for monitor_id in sorted(monitor_ids))
    request = {
        "resourceNames": [f"projects/{config.project_id}"],
        "filter": (
            f'resource.type = "{MODEL_MONITOR_TYPE}"\n'
            f'AND timestamp >= "{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"\n'
            f"AND ({mentions})"
        ),
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }
    return session.list_all("POST", "logging", "/v2/entries:list", "entries", request)


def entry_as_text(entry: dict[str, Any]) -> str:
    """Return a log entry as JSON for people, cut where it is long."""
    text = json.dumps(entry, indent=1, ensure_ascii=True)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def check_log_entries(
    session: RestSession,
    config: MonitoringConfig,
    monitor_ids: Collection[str],
    since: datetime,
    drifted_job: str | None,
) -> Check:
    """Hold the sink's filter and the reader of messages against the newest entries.

    `drifted_job` is a monitoring job since then that found drift, or None.
    """
    name = "log entries"
    try:
        entries = newest_entries(session, config, monitor_ids, since, _CHECKED_ENTRIES)
    except PlatformError as error:
        return unknown(name, str(error), f"grant roles/logging.viewer on {config.project_id}")
    if not entries and drifted_job is None:
        return passed(name, f"none since {since:%Y-%m-%d}, and no job found drift")
    if not entries:
        return missing(
            name,
            f"{drifted_job} found drift, but no entry mentions a monitor of ours",
            "materialize model_monitor with log_anomalies = true; does the bucket _Default "
            "exclude the entries? Without them only the notification channel and Dagster's "
            "polling start a training",
        )
    deployed = sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
    jobs: set[str] = set()
    for entry in entries:
        if not lets_through(deployed, entry):
            return missing(
                name,
                f"the sink's filter holds back the entry of {entry.get('timestamp')}",
                "add its model_monitor_id to further_model_monitor_ids and run `terraform "
                "apply`; if it has no such label, report the entry's shape",
                entry_as_text(entry),
            )
        read = read_message(json.dumps(entry).encode())
        if isinstance(read, Rejected):
            return missing(
                name,
                f"the trigger cannot read the entry of {entry.get('timestamp')}: "
                f"{read.reason}: {read.detail}",
                "report the entry's shape; the notification channel and Dagster's polling "
                "start the training all the same",
                entry_as_text(entry),
            )
        if isinstance(read, tuple):
            jobs |= {f"{job.model_monitor_id}/{job.monitoring_job_id}" for job in read}
    detail = f"{len(entries)} pass the filter and name {', '.join(sorted(jobs))}"
    return passed(name, detail, entry_as_text(entries[0]))


def _lines(text: str) -> list[str]:
    # Terraform and the API may change line ends and trailing space, which mean nothing.
    return [line.strip() for line in text.splitlines() if line.strip()]
