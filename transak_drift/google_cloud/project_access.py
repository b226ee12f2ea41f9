"""Looks at what the caller may do in the project.

Source: "Cloud Resource Manager API v1", projects.testIamPermissions.
"""

from __future__ import annotations

from collections.abc import Iterable

from transak_drift.config.finding import Finding, gap, in_order, unknown
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.google_cloud.session import RestError, RestSession
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


def inspect_project_access(
    session: RestSession, config: MonitoringConfig, permissions: Iterable[str]
) -> Finding:
    """Ask which permissions the caller has on the project.

    Args:
        session: calls the Resource Manager.
        config: names the project.
        permissions: those that are needed.

    Returns:
        One finding.
    """
    piece = "IAM on Vertex AI"
    needed = sorted(set(permissions))
    path = f"/v1/projects/{config.project_id}:testIamPermissions"
    try:
        answer = session.call("POST", "cloudresourcemanager", path, {"permissions": needed})
    except RestError as error:
        return unknown(piece, str(error), "enable the Cloud Resource Manager API; check project_id")
    except PlatformError as error:
        return unknown(piece, str(error), "try again")
    missing = [item for item in needed if item not in set(answer.get("permissions", []))]
    if missing:
        return gap(
            piece,
            f"missing: {', '.join(missing)}",
            f"grant roles/aiplatform.user on the project {config.project_id}, or a custom role "
            "with them as terraform/ makes it",
        )
    return in_order(piece, f"{len(needed)} permissions on {config.project_id}")
