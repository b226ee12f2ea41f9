"""Follows a PipelineJob to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from google.api_core import exceptions

from transak_drift.platform import PlatformError, TemporaryPlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.training_launch import find_pipeline_job

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

# A training takes hours: Vertex AI may be away for a while and the training goes on.
MAX_OUTAGE_SECONDS = 1_800.0


def follow_pipeline_job(
    connection: VertexConnection, job_name: str, progress: Callable[[str], None]
) -> PipelineJob:
    """Wait for the success of a PipelineJob, with a sentence at each change of a state.

    Raises:
        PlatformError: it failed, was cancelled or deleted, or cannot be read.
    """
    from google.cloud.aiplatform_v1 import types

    reported: dict[str, str] = {}
    reached = time.monotonic()
    for wait in connection.limits.poll_waits():
        try:
            job = find_pipeline_job(connection, job_name)
        except TemporaryPlatformError as error:
            if time.monotonic() - reached > MAX_OUTAGE_SECONDS:
                raise
            progress(f"{error}; still following {job_name}")
            time.sleep(wait)
            continue
        reached = time.monotonic()
        if job is None:
            raise PlatformError(f"{job_name} was deleted while it was followed; start it again")
        _report(job, reported, progress)
        if job.state == types.PipelineState.PIPELINE_STATE_SUCCEEDED:
            return job
        if job.state in (
            types.PipelineState.PIPELINE_STATE_FAILED,
            types.PipelineState.PIPELINE_STATE_CANCELLED,
        ):
            reason = job.error.message or "Vertex AI gives no reason"
            raise PlatformError(
                f"{job_name} ended as {types.PipelineState(job.state).name}: {reason}; look at it "
                f"in {console_url(connection, job_name)}, and re-execute this run to train again"
            )
        time.sleep(wait)
    raise AssertionError("the waits never end")


def cancel_pipeline_job(connection: VertexConnection, job_name: str) -> None:
    """Cancel a PipelineJob; one that has ended stays as it is."""
    cancel = connection.pipelines.cancel_pipeline_job
    try:
        connection.call(cancel, "aiplatform.pipelineJobs.cancel", job_name, {"name": job_name})
    except PlatformError as error:
        if not isinstance(error.__cause__, exceptions.FailedPrecondition):
            raise


def console_url(connection: VertexConnection, job_name: str) -> str:
    """Return where a person sees a PipelineJob."""
    endpoint = connection.endpoint
    return (
        f"https://console.cloud.google.com/vertex-ai/locations/{endpoint.location}/pipelines/runs/"
        f"{job_name.rpartition('/')[2]}?project={endpoint.project_id}"
    )


def _report(job: PipelineJob, reported: dict[str, str], progress: Callable[[str], None]) -> None:
    from google.cloud.aiplatform_v1 import types

    states = {job.name: types.PipelineState(job.state).name}
    for task in job.job_detail.task_details:
        states[task.task_name] = types.PipelineTaskDetail.State(task.state).name
    for name, state in states.items():
        if reported.get(name) != state:
            reported[name] = state
            progress(f"{name}: {state.removeprefix('PIPELINE_STATE_').lower().replace('_', ' ')}")
