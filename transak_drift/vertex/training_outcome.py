"""What a finished training pipeline made: a model version, and whether it predicts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, TrainingRequest, TrainingResult
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import (
    RegistryVersion,
    find_model,
    list_versions,
    read_metrics,
)
from transak_drift.vertex.training_follow import console_url
from transak_drift.vertex.training_launch import CHAMPION_LABEL, training_days

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

# Names under which a pipeline's metrics say what it learned from, as pipelines/ writes them.
TRAINING_ROWS = "training rows"
TRAINING_DAYS = "training days"
OF_CHAMPION = " of the champion"


def training_result(
    connection: VertexConnection,
    config: MonitoringConfig,
    job: PipelineJob,
    request: TrainingRequest,
    *,
    adopted: bool,
) -> TrainingResult:
    """Read the outcome of a PipelineJob that has succeeded: its version, and which one predicts.

    Raises:
        PlatformError: the job uploaded no version of the model.
    """
    champion = find_model(connection, config)
    trained = _trained_version(connection, champion.model, job)
    metrics = {**read_metrics(connection, trained), **pipeline_metrics(job)}
    rows = metrics.pop(TRAINING_ROWS, None)
    days = metrics.pop(TRAINING_DAYS, None)
    first_day, last_day = training_days(config, request)
    if days is not None and days >= 1:
        first_day = last_day - timedelta(days=int(days) - 1)
    promoted = trained.version == champion.version
    return TrainingResult(
        version=trained.version,
        champion_before=dict(job.labels).get(CHAMPION_LABEL) or None,
        champion_after=champion.version,
        promoted=promoted,
        adopted=adopted,
        reason=trained.description
        or f"version {trained.version} {'predicts from now on' if promoted else 'does not predict'}"
        f": the alias {config.model_alias} is at version {champion.version}",
        metrics={name: value for name, value in metrics.items() if not name.endswith(OF_CHAMPION)},
        champion_metrics={
            name.removesuffix(OF_CHAMPION): value
            for name, value in metrics.items()
            if name.endswith(OF_CHAMPION)
        },
        training_rows=None if rows is None else int(rows),
        training_days=(first_day, last_day),
        console_url=console_url(connection, job.name),
    )


def pipeline_metrics(job: PipelineJob) -> dict[str, float]:
    """Read the numbers by name that a pipeline's steps logged as `system.Metrics`."""
    metrics: dict[str, float] = {}
    for task in job.job_detail.task_details:
        for output in task.outputs.values():
            for artifact in output.artifacts:
                if artifact.schema_title != "system.Metrics":
                    continue
                for name, value in dict(artifact.metadata).items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        metrics[name] = float(value)
    return metrics


def _trained_version(connection: VertexConnection, model: str, job: PipelineJob) -> RegistryVersion:
    job_id = job.name.rpartition("/")[2]
    versions = list_versions(connection, model)
    for version in versions:
        if version.pipeline_job.rpartition("/")[2] == job_id:
            return version
    raise PlatformError(
        f"{job.name} has succeeded, but no version of {model} names it as its pipeline job; the "
        "pipeline's last step must upload the model as a version of it (ModelUploadOp with "
        "parent_model)"
    )
