"""Launches the training of a drift event, once, whoever else launches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from google.api_core import exceptions
from google.cloud.aiplatform_v1.types import PipelineJob, PipelineState

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import last_day, pipeline_job_id
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import RegistryVersion, find_model
from transak_drift.vertex.monitoring_window import monitored_day
from transak_drift.vertex.pipeline_template import (
    declared_parameters,
    load_template,
    pipeline_job,
)

CHAMPION_LABEL = "transak-drift-champion"
FAILED = (PipelineState.PIPELINE_STATE_FAILED, PipelineState.PIPELINE_STATE_CANCELLED)
_RUN_LABEL = "transak-drift-run"
_MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class LaunchedTraining:
    """The PipelineJob of a training; `adopted` if it was there before."""

    job_name: str
    adopted: bool


def launch_training(
    connection: VertexConnection,
    config: MonitoringConfig,
    request: TrainingRequest,
    *,
    retry_failed: bool = True,
) -> LaunchedTraining:
    """Create the PipelineJob of a drift event, or adopt the one that exists.

    Of any number of callers at once exactly one creates it.

    Args:
        connection: the location's clients.
        config: the monitored model and its training pipeline.
        request: what the training is for.
        retry_failed: whether a job that failed or was cancelled is followed by another, under an
            id that the attempt's number is part of. A trigger that only forwards messages says
            False, so that a message delivered again never trains again.

    Raises:
        PlatformError: the template, the model or a right is missing, or the attempts are used up.
    """
    template = config.vertex.pipeline_template
    if template is None:
        raise PlatformError(
            "vertex.pipeline_template is not set: name the compiled training pipeline, as a local "
            "file, gs://bucket/path or an address of Artifact Registry"
        )
    parent = connection.endpoint.parent
    job: PipelineJob | None = None
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        job_id = _job_id(config, request, attempt)
        name = f"{parent}/pipelineJobs/{job_id}"
        present = find_pipeline_job(connection, name)
        if present is None:
            # Only here, since an event that is trained needs neither template nor model.
            if job is None:
                champion = find_model(connection, config)
                job = build_training_job(connection, config, request, template, champion)
            created = _create(connection, parent, job, job_id)
            if created is not None:
                return LaunchedTraining(created.name, adopted=False)
            present = find_pipeline_job(connection, name)
        if present is not None and not (retry_failed and present.state in FAILED):
            # A creation whose answer was lost is this run's own, though it was found as another's.
            label = dict(present.labels).get(_RUN_LABEL)
            own = request.run_id != "" and label == request.run_id[:63]
            return LaunchedTraining(present.name, adopted=not own)
    raise PlatformError(
        f"{_MAX_ATTEMPTS} trainings of {request.drift_event_key} have failed; look at the last "
        f"PipelineJob {job_id} and correct the pipeline, then start a training without a drift "
        "event"
    )


def find_pipeline_job(connection: VertexConnection, name: str) -> PipelineJob | None:
    """Read a PipelineJob; None where there is none."""
    get = connection.pipelines.get_pipeline_job
    return connection.find(get, "aiplatform.pipelineJobs.get", name)


def training_days(config: MonitoringConfig, request: TrainingRequest) -> tuple[date, date]:
    """Return the first and last day that a training may use; the last is the day that drifted."""
    # An event from before its window was read from the platform may have no window of its own.
    last = monitored_day(request.drift_event_key or "") or last_day(request.window_end)
    return last - timedelta(days=config.maximum_training_days - 1), last


def build_training_job(
    connection: VertexConnection,
    config: MonitoringConfig,
    request: TrainingRequest,
    address: str,
    champion: RegistryVersion,
) -> PipelineJob:
    """Build the PipelineJob of a training from the template at an address, without creating it.

    Raises:
        PlatformError: the template cannot be read, or does not take what it is given.
    """
    template = load_template(connection, address)
    purpose = request.drift_event_key or request.run_id
    return pipeline_job(
        template,
        _parameters(config, request, champion, declared_parameters(template)),
        config.vertex.pipeline_root,
        display_name=f"{config.training_pipeline} {purpose}"[:128],
        labels={
            **config.vertex.pipeline_labels,
            "transak-drift-monitor": config.model_monitor_id,
            CHAMPION_LABEL: champion.version,
            **({_RUN_LABEL: request.run_id[:63]} if request.run_id else {}),
        },
        service_account=config.vertex.pipeline_service_account,
        network=config.vertex.pipeline_network,
    )


def _job_id(config: MonitoringConfig, request: TrainingRequest, attempt: int) -> str:
    if request.drift_event_key is not None:
        base = pipeline_job_id(config.training_pipeline, request.drift_event_key)
    else:
        base = f"{config.training_pipeline}-run-{request.run_id}"
    return base if attempt == 1 else f"{base}-attempt-{attempt}"


def _create(
    connection: VertexConnection, parent: str, job: PipelineJob, job_id: str
) -> PipelineJob | None:
    try:
        return connection.call(
            connection.pipelines.create_pipeline_job,
            "aiplatform.pipelineJobs.create",
            parent,
            parent=parent,
            pipeline_job=job,
            pipeline_job_id=job_id,
        )
    except exceptions.AlreadyExists:
        return None


def _parameters(
    config: MonitoringConfig,
    request: TrainingRequest,
    champion: RegistryVersion,
    declared: Mapping[str, Any],
) -> dict[str, Any]:
    first_day, final_day = training_days(config, request)
    known = {
        "project": config.project_id,
        "location": config.location,
        "model_name": config.model_name,
        "parent_model": champion.model,
        "champion_uri": champion.artifact_uri,
        "champion_version": champion.version,
        "drift_event": request.drift_event_key or "",
        "first_day": first_day.isoformat(),
        "last_day": final_day.isoformat(),
        "monitoring_config": config.model_dump_json(exclude_none=True),
    }
    configured = {
        name: _filled(value, known) if isinstance(value, str) else value
        for name, value in config.vertex.pipeline_parameters.items()
    }
    # What the pipeline asks for by one of these names it gets; what is configured goes first.
    return {**{name: known[name] for name in known if name in declared}, **configured}


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name in ("model_name", "drift_event", "first_day", "last_day"):
        text = text.replace(f"{{{name}}}", values[name])
    return text
