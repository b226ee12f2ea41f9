"""BatchPredictionJobs, found by the display name that a prediction pipeline gives them."""

from __future__ import annotations

from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection


def find_batch_prediction_job(connection: VertexConnection, display_name: str) -> str:
    """Return the resource name of the newest job of a display name that has succeeded.

    Raises:
        PlatformError: there is none, or they cannot be read.
    """
    from google.cloud.aiplatform_v1beta1 import types

    parent = connection.endpoint.parent
    escaped = display_name.replace("\\", "\\\\").replace('"', '\\"')
    jobs = connection.list_all(
        connection.jobs.list_batch_prediction_jobs,
        "aiplatform.batchPredictionJobs.list",
        parent,
        {"parent": parent, "filter": f'display_name="{escaped}"'},
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
