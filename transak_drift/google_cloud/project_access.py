"""Looks at the project, what the caller may do in it, and what Google's agents may do.

Source: "Cloud Resource Manager API v1", projects.get and projects.testIamPermissions; "Cloud
Storage JSON API", buckets.getIamPolicy; "Cloud Monitoring API v3",
projects.notificationChannels.get; "Service agents" (IAM).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import topic_name
from transak_drift.google_cloud.check import Check, answered, missing, passed, unknown
from transak_drift.google_cloud.session import RestSession
from transak_drift.platform import PlatformError

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
CANCEL_PERMISSIONS = ("aiplatform.pipelineJobs.cancel",)

_RESOURCE_MANAGER = "enable the Cloud Resource Manager API; check project_id"
_APPLY = "run `terraform apply` in terraform/"
# Roles with storage.objects.create, which the files of a monitoring job need.
_WRITER_ROLES = frozenset(
    f"roles/storage.{name}"
    for name in (
        *("objectUser", "objectAdmin", "objectCreator", "admin"),
        *("legacyBucketOwner", "legacyBucketWriter"),
    )
)


def agent(service: str, number: str) -> str:
    """Return the IAM principal of a service agent.

    Args:
        service: the agent's name, e.g. `vertex-mm`.
        number: the project's number.
    """
    return f"serviceAccount:service-{number}@gcp-sa-{service}.iam.gserviceaccount.com"


def check_project_number(
    session: RestSession, config: MonitoringConfig
) -> tuple[Check, str | None]:
    """Hold the configured project number against the project's own.

    Args:
        session: calls the Resource Manager.
        config: names the project.

    Returns:
        The check, and the number, or None where it cannot be read.
    """
    name = "project number"
    try:
        project = session.call("GET", "cloudresourcemanager", f"/v1/projects/{config.project_id}")
    except PlatformError as error:
        fix = f"{_RESOURCE_MANAGER}; grant resourcemanager.projects.get"
        return unknown(name, str(error), fix), None
    number = str(project["projectNumber"])
    if config.project_number not in (None, number):
        detail = f"project_number is {config.project_number}, but {config.project_id} is {number}"
        fix = "correct project_number in the configuration, or remove it"
        return missing(name, detail, fix), number
    return passed(name, f"{config.project_id} is {number}"), number


def check_permissions(
    session: RestSession, config: MonitoringConfig, permissions: Iterable[str]
) -> Check:
    """Ask which permissions the caller has on the project.

    Args:
        session: calls the Resource Manager.
        config: names the project.
        permissions: those that are needed.

    Returns:
        The check.
    """
    name = "IAM on Vertex AI"
    needed = sorted(set(permissions))

    def check() -> Check:
        path = f"/v1/projects/{config.project_id}:testIamPermissions"
        answer = session.call("POST", "cloudresourcemanager", path, {"permissions": needed})
        lacking = [item for item in needed if item not in set(answer.get("permissions", []))]
        if not lacking:
            return passed(name, f"{len(needed)} permissions on {config.project_id}")
        return missing(
            name,
            f"missing: {', '.join(lacking)}",
            f"grant roles/aiplatform.user on the project {config.project_id}, or a custom role "
            "with them as terraform/ makes it",
        )

    return answered(name, _RESOURCE_MANAGER, check)


def check_notification_channel(
    session: RestSession, config: MonitoringConfig, channel: str | None
) -> Check:
    """Look whether the trigger's notification channel publishes to the trigger topic.

    Args:
        session: calls Cloud Monitoring.
        config: names the topic.
        channel: resource name of the channel, or None where there is none.
    """
    name = "notification channel"
    if channel is None:
        return passed(
            name,
            f"not in use: TRANSAK_DRIFT_TRIGGER_CHANNELS names none for {config.trigger_topic}, so "
            "that messages come from the log sink alone",
        )

    def check() -> Check:
        found = session.call("GET", "monitoring", f"/v3/{channel}")
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

    return answered(name, f"grant roles/monitoring.viewer; or {_APPLY}", check)


def check_monitoring_output(session: RestSession, bucket: str, principal: str) -> Check:
    """Look whether Vertex AI's monitoring agent may write to the bucket of `monitoring_output`.

    Args:
        session: calls Cloud Storage.
        bucket: the bucket's name.
        principal: the monitoring agent, as an IAM principal.
    """
    name = "IAM on the monitoring output"

    def check() -> Check:
        path = f"/storage/v1/b/{quote(bucket, safe='')}/iam?optionsRequestedPolicyVersion=3"
        bindings = session.call("GET", "storage", path).get("bindings", [])
        if any(
            item.get("role") in _WRITER_ROLES and principal in item.get("members", [])
            for item in bindings
        ):
            return passed(name, f"{principal} may write to gs://{bucket}")
        return missing(
            name,
            f"{principal} has no role on gs://{bucket}, so that monitoring jobs fail",
            f"grant roles/storage.objectUser on the bucket to it: {_APPLY}",
        )

    return answered(name, "create the bucket; grant storage.buckets.getIamPolicy on it", check)
