"""Follows a training pipeline to its end: a model version, and whether it predicts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from google.api_core import exceptions
from google.cloud.aiplatform_v1.types import PipelineJob, PipelineState, PipelineTaskDetail

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import (
    PlatformError,
    TemporaryPlatformError,
    TrainingRequest,
    TrainingResult,
)
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model, list_versions, numbers_of, read_metrics
from transak_drift.vertex.training_launch import (
    CHAMPION_LABEL,
    FAILED,
    find_pipeline_job,
    training_days,
)

# A training takes hours: Vertex AI may be away for a while and the training goes on.
_MAX_OUTAGE_SECONDS = 1_800.0
_OF_CHAMPION = " of the champion"


def follow_pipeline_job(
    connection: VertexConnection, job_name: str, progress: Callable[[str], None]
) -> PipelineJob:
    """Wait for the success of a PipelineJob, with a sentence at each change of a state.

    Raises:
        PlatformError: it failed, was cancelled or deleted, or cannot be read.
    """
    reported: dict[str, str] = {}
    reached = time.monotonic()
    for wait in connection.limits.poll_waits():
        try:
            job = find_pipeline_job(connection, job_name)
        except TemporaryPlatformError as error:
            if time.monotonic() - reached > _MAX_OUTAGE_SECONDS:
                raise
            progress(f"{error}; still following {job_name}")
            time.sleep(wait)
            continue
        reached = time.monotonic()
        if job is None:
            raise PlatformError(f"{job_name} was deleted while it was followed; start it again")
        _report(job, reported, progress)
        if job.state == PipelineState.PIPELINE_STATE_SUCCEEDED:
            return job
        if job.state in FAILED:
            reason = job.error.message or "Vertex AI gives no reason"
            raise PlatformError(
                f"{job_name} ended as {PipelineState(job.state).name}: {reason}; look at it "
                f"in {console_url(connection, job_name)}, and re-execute this run to train again"
            )
        time.sleep(wait)
    raise AssertionError("the waits never end")


def cancel_pipeline_job(connection: VertexConnection, job_name: str) -> None:
    """Cancel a PipelineJob; one that has ended stays as it is."""
    cancel = connection.pipelines.cancel_pipeline_job
    try:
        connection.call(cancel, "aiplatform.pipelineJobs.cancel", job_name, name=job_name)
    except PlatformError as error:
        if not isinstance(error.__cause__, exceptions.FailedPrecondition):
            raise


def console_url(connection: VertexConnection, job_name: str) -> str:
    endpoint = connection.endpoint
    return (
        f"https://console.cloud.google.com/vertex-ai/locations/{endpoint.location}/pipelines/runs/"
        f"{job_name.rpartition('/')[2]}?project={endpoint.project_id}"
    )


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
    job_id = job.name.rpartition("/")[2]
    trained = next(
        (
            version
            for version in list_versions(connection, champion.model)
            if version.pipeline_job.rpartition("/")[2] == job_id
        ),
        None,
    )
    if trained is None:
        raise PlatformError(
            f"{job.name} has succeeded, but no version of {champion.model} names it as its "
            "pipeline job; the pipeline's last step must upload the model as a version of it "
            "(ModelUploadOp with parent_model)"
        )
    metrics = {**read_metrics(connection, trained), **_pipeline_metrics(job)}
    # The names under which pipelines/ writes what the model learned from.
    rows = metrics.pop("training rows", None)
    days = metrics.pop("training days", None)
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
        metrics={name: value for name, value in metrics.items() if not name.endswith(_OF_CHAMPION)},
        champion_metrics={
            name.removesuffix(_OF_CHAMPION): value
            for name, value in metrics.items()
            if name.endswith(_OF_CHAMPION)
        },
        training_rows=None if rows is None else int(rows),
        training_days=(first_day, last_day),
        console_url=console_url(connection, job.name),
    )


def _pipeline_metrics(job: PipelineJob) -> dict[str, float]:
    """Read the numbers by name that a pipeline's steps logged as `system.Metrics`."""
    metrics: dict[str, float] = {}
    for task in job.job_detail.task_details:
        for output in task.outputs.values():
            for artifact in output.artifacts:
                if artifact.schema_title == "system.Metrics":
                    metrics |= numbers_of(dict(artifact.metadata))
    return metrics


def _report(job: PipelineJob, reported: dict[str, str], progress: Callable[[str], None]) -> None:
    states = {job.name: PipelineState(job.state).name}
    for task in job.job_detail.task_details:
        states[task.task_name] = PipelineTaskDetail.State(task.state).name
    for name, state in states.items():
        if reported.get(name) != state:
            reported[name] = state
            progress(f"{name}: {state.removeprefix('PIPELINE_STATE_').lower().replace('_', ' ')}")
