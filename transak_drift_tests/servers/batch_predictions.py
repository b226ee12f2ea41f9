"""google.cloud.aiplatform.v1beta1.JobService: batch prediction jobs."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from google.cloud.aiplatform_v1beta1 import types

from transak_drift_tests.servers.api_rules import Location, display_name_of, page
from transak_drift_tests.servers.grpc_server import Methods


class BatchPredictions:
    """The batch prediction jobs of one location."""

    service = "google.cloud.aiplatform.v1beta1.JobService"

    def __init__(self, location: Location) -> None:
        self._location = location
        self._jobs: list[types.BatchPredictionJob] = []
        self._numbers = itertools.count(7001)

    def methods(self) -> Methods:
        return {"ListBatchPredictionJobs": (types.ListBatchPredictionJobsRequest, self._list)}

    def add(
        self, display_name: str, output_uri: str, state: str = "JOB_STATE_SUCCEEDED"
    ) -> types.BatchPredictionJob:
        """Add a job that has put its predictions at an address."""
        job = types.BatchPredictionJob(
            name=f"{self._location.parent}/batchPredictionJobs/{next(self._numbers)}",
            display_name=display_name,
            state=types.JobState[state],
            create_time=datetime.now(UTC),
            output_info=types.BatchPredictionJob.OutputInfo(gcs_output_directory=output_uri),
        )
        self._jobs.append(job)
        return job

    def output_of(self, name: str) -> str | None:
        """Return where a job has put its predictions, or None where there is no such job."""
        job_id = name.rpartition("/")[2]
        found = next((job for job in self._jobs if job.name.endswith(f"/{job_id}")), None)
        return None if found is None else found.output_info.gcs_output_directory

    def _list(self, request: Any) -> types.ListBatchPredictionJobsResponse:
        self._location.canonical(request.parent, "aiplatform.batchPredictionJobs.list")
        wanted = display_name_of(request.filter)
        found = [job for job in reversed(self._jobs) if job.display_name == wanted]
        items, token = page(found, request, 2)
        return types.ListBatchPredictionJobsResponse(
            batch_prediction_jobs=items, next_page_token=token
        )
