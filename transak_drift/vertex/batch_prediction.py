"""BatchPredictionJobs, found by the display name that a prediction pipeline gives them."""

from __future__ import annotations

from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection


def find_batch_prediction_job(connection: VertexConnection, display_name: str) -> str:
    """Find the newest finished job of a display name.

    Args:
        connection: the location's clients.
        display_name: the display name.

    Returns:
        Its resource name.

    Raises:
        PlatformError: no job of that name has succeeded, or they cannot be read.
    """
    from google.cloud.aiplatform_v1beta1 import types

    parent = connection.endpoint.parent
    escaped = display_name.replace("\\", "\\\\").replace('"', '\\"')
    request = types.ListBatchPredictionJobsRequest(
        parent=parent, filter=f'display_name="{escaped}"', page_size=100
    )
    with connection.explained("aiplatform.batchPredictionJobs.list", parent):
        jobs = list(
            connection.jobs.list_batch_prediction_jobs(
                request=request, **connection.limits.options()
            )
        )
    finished = [job for job in jobs if job.state == types.JobState.JOB_STATE_SUCCEEDED]
    if finished:
        return max(finished, key=lambda job: job.create_time).name
    states = ", ".join(sorted({types.JobState(job.state).name for job in jobs}))
    found = f"those of that name are {states}" if jobs else "there is none of that name"
    raise PlatformError(
        f"no batch prediction job named {display_name!r} has succeeded in {parent} ({found}); run "
        "the predictions of the day first, or correct vertex.prediction_dataset"
    )
