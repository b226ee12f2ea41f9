"""google.cloud.aiplatform.v1.PipelineService: PipelineJobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types

from transak_drift_tests.servers.api_rules import JobService, canonical
from transak_drift_tests.servers.grpc_server import Methods, RefusedError, invalid

_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_STATES = types.PipelineState
_ENDED = {
    _STATES.PIPELINE_STATE_SUCCEEDED,
    _STATES.PIPELINE_STATE_FAILED,
    _STATES.PIPELINE_STATE_CANCELLED,
}


class Pipelines(JobService[types.PipelineJob]):
    """The PipelineJobs of one location; `run` does the work of one."""

    service = "google.cloud.aiplatform.v1.PipelineService"
    pending = _STATES.PIPELINE_STATE_PENDING
    running = _STATES.PIPELINE_STATE_RUNNING

    def __init__(self) -> None:
        super().__init__(looks=2)
        self.run: Callable[[types.PipelineJob], object] = lambda _: None

    def methods(self) -> Methods:
        return types, {
            "CreatePipelineJob": self._create,
            "GetPipelineJob": lambda request: self.look(self.find_job(request.name)),
            "CancelPipelineJob": self._cancel,
        }

    def _create(self, request: Any) -> types.PipelineJob:
        parent = canonical(request.parent, "aiplatform.pipelineJobs.create")
        job_id = request.pipeline_job_id
        if _ID.fullmatch(job_id) is None:
            raise invalid(f"pipeline_job_id {job_id!r} does not match [a-z][-a-z0-9]{{0,127}}")
        job = types.PipelineJob(request.pipeline_job)
        self._check(job)
        return self.add_job(f"{parent}/pipelineJobs/{job_id}", job)

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

    def end(self, job: types.PipelineJob) -> None:
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
        job = self.find_job(request.name)
        if job.state in _ENDED:
            raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, f"{job.name} has ended")
        self._looks_left.pop(job.name, None)
        job.state = _STATES.PIPELINE_STATE_CANCELLED
        job.end_time = datetime.now(UTC)
