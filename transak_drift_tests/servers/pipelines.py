"""google.cloud.aiplatform.v1.PipelineService: PipelineJobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types

from transak_drift_tests.servers.api_rules import canonical
from transak_drift_tests.servers.grpc_server import (
    Methods,
    RefusedError,
    already_exists,
    invalid,
    not_found,
)

_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_STATES = types.PipelineState
_ENDED = {
    _STATES.PIPELINE_STATE_SUCCEEDED,
    _STATES.PIPELINE_STATE_FAILED,
    _STATES.PIPELINE_STATE_CANCELLED,
}


class Pipelines:
    """The PipelineJobs of one location."""

    service = "google.cloud.aiplatform.v1.PipelineService"

    def __init__(self, run: Callable[[types.PipelineJob], object]) -> None:
        self.run = run
        self._jobs: dict[str, types.PipelineJob] = {}
        self._looks: dict[str, int] = {}
        self.looks = 2

    def methods(self) -> Methods:
        return {
            "CreatePipelineJob": (types.CreatePipelineJobRequest, self._create),
            "GetPipelineJob": (types.GetPipelineJobRequest, self._get),
            "CancelPipelineJob": (types.CancelPipelineJobRequest, self._cancel),
        }

    def jobs(self) -> list[types.PipelineJob]:
        return list(self._jobs.values())

    def finish_at_next_look(self, name: str) -> None:
        """Let a job end when it is looked at next."""
        if name in self._looks:
            self._looks[name] = 1

    def _create(self, request: Any) -> types.PipelineJob:
        parent = canonical(request.parent, "aiplatform.pipelineJobs.create")
        job_id = request.pipeline_job_id
        if _ID.fullmatch(job_id) is None:
            raise invalid(f"pipeline_job_id {job_id!r} does not match [a-z][-a-z0-9]{{0,127}}")
        name = f"{parent}/pipelineJobs/{job_id}"
        if name in self._jobs:
            raise already_exists(name)
        job = types.PipelineJob(request.pipeline_job)
        self._check(job)
        now = datetime.now(UTC)
        job.name, job.create_time, job.update_time = name, now, now
        job.state = _STATES.PIPELINE_STATE_PENDING
        self._jobs[name] = job
        self._looks[name] = self.looks
        return job

    def _check(self, job: types.PipelineJob) -> None:
        if not job.runtime_config.gcs_output_directory.startswith("gs://"):
            raise invalid("runtime_config.gcs_output_directory is not a gs:// directory")
        spec = types.PipelineJob.to_dict(job)["pipeline_spec"]
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = dict(job.runtime_config.parameter_values)
        unknown = set(given) - set(declared)
        if unknown:
            raise invalid(f"unknown parameters {sorted(unknown)}")
        needed = {name for name, item in declared.items() if "defaultValue" not in item}
        missing = needed - set(given)
        if missing:
            raise invalid(f"parameters {sorted(missing)} are missing")
        wrong = [text for item in job.labels.items() for text in item if not _LABEL.fullmatch(text)]
        if wrong:
            raise invalid(f"labels {wrong} are not valid")

    def _job(self, name: str) -> types.PipelineJob:
        job = self._jobs.get(canonical(name))
        if job is None:
            raise not_found(name)
        return job

    def _get(self, request: Any) -> types.PipelineJob:
        job = self._job(request.name)
        if job.name in self._looks:
            self._looks[job.name] -= 1
            job.state = _STATES.PIPELINE_STATE_RUNNING
            if self._looks[job.name] <= 0:
                self._end(job)
        return job

    def _end(self, job: types.PipelineJob) -> None:
        del self._looks[job.name]
        job.state = _STATES.PIPELINE_STATE_SUCCEEDED
        try:
            self.run(job)
        except Exception as error:
            # As a step whose container ends with an error.
            internal = RefusedError(grpc.StatusCode.INTERNAL, f"{error!r}")
            job.error = (error if isinstance(error, RefusedError) else internal).status
            job.state = _STATES.PIPELINE_STATE_FAILED
        job.end_time = datetime.now(UTC)

    def _cancel(self, request: Any) -> None:
        job = self._job(request.name)
        if job.state in _ENDED:
            raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, f"{job.name} has ended")
        self._looks.pop(job.name, None)
        job.state = _STATES.PIPELINE_STATE_CANCELLED
        job.end_time = datetime.now(UTC)
