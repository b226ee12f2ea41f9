"""Launches the training pipeline for a drift event, once, whoever else launches it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import yaml
from google.api_core import exceptions
from google.auth.transport.requests import AuthorizedSession
from google.cloud.aiplatform.utils import yaml_utils
from google.cloud.aiplatform.utils.pipeline_utils import PipelineRuntimeConfigBuilder
from google.cloud.aiplatform_v1.types import Model, PipelineJob, PipelineState
from google.protobuf import json_format

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift.vertex.connection import VertexConnection, explained
from transak_drift.vertex.model_lookup import DAY_LABELS, find_model
from transak_drift.vertex.monitoring_jobs import monitored_window

CHAMPION_LABEL = "transak-drift-champion"
FAILED = (PipelineState.PIPELINE_STATE_FAILED, PipelineState.PIPELINE_STATE_CANCELLED)
_RUN_LABEL = "transak-drift-run"
_MAX_JOB_ID_LENGTH = 128


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

    Of any number of callers at once exactly one creates it. With `retry_failed` a job that failed
    or was cancelled is followed by another, under an id that the attempt's number is part of; a
    trigger that only forwards messages leaves it out, so that a message delivered again never
    trains again. A `PlatformError` names the template, model or right that is missing.
    """
    if request.drift_event_key is not None:
        job_id = base = pipeline_job_id(config.training_pipeline, request.drift_event_key)
    else:
        job_id = base = f"{config.training_pipeline}-run-{request.run_id}"
    for attempt in itertools.count(2):
        name = connection.name("pipelineJobs", job_id)
        present = connection.find(connection.pipelines.get_pipeline_job, name)
        if present is None:
            # Only here, since an event that is trained needs neither template nor model.
            job = build_training_job(connection, config, request)
            try:
                created = connection.call(
                    connection.pipelines.create_pipeline_job,
                    parent=connection.parent,
                    pipeline_job=job,
                    pipeline_job_id=job_id,
                )
                return LaunchedTraining(created.name, adopted=False)
            except exceptions.AlreadyExists:
                present = connection.find(connection.pipelines.get_pipeline_job, name)
        if present is not None and not (retry_failed and present.state in FAILED):
            # A creation whose answer was lost is this run's own, though it was found as another's.
            label = dict(present.labels).get(_RUN_LABEL)
            own = request.run_id != "" and label == request.run_id[:63]
            return LaunchedTraining(present.name, adopted=not own)
        job_id = f"{base}-attempt-{attempt}"
    raise AssertionError("some attempt is the first of its id")


def training_days(config: MonitoringConfig, request: TrainingRequest) -> tuple[date, date]:
    """Return the first and last day that a training may use; the last window is what drifted."""
    # An event from before its window was read from the platform may have no window of its own.
    window = monitored_window(request.drift_event_key or "")
    window = window or config.windows.ending_at(request.window_end)
    earliest = window.last_day - timedelta(days=config.maximum_training_days - 1)
    return min(earliest, window.first_day), window.last_day


def build_training_job(
    connection: VertexConnection, config: MonitoringConfig, request: TrainingRequest
) -> PipelineJob:
    """Build the PipelineJob of a training from the configured template, without creating it."""
    address = config.vertex.pipeline_template
    if address is None:
        raise PlatformError(
            "vertex.pipeline_template is not set: name the compiled training pipeline, as a local "
            "file, gs://bucket/path or an address of Artifact Registry"
        )
    champion = find_model(connection, config)
    template = _load_template(connection, address)
    spec, runtime = template["pipelineSpec"], template["runtimeConfig"]
    taken = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    known = _known_parameters(config, request, champion)
    # What the pipeline asks for by one of these names it gets; what is configured goes first.
    parameters: dict[str, Any] = {name: known[name] for name in known if name in taken}
    for name, value in config.vertex.pipeline_parameters.items():
        parameters[name] = _filled(value, known) if isinstance(value, str) else value
    defaults = runtime.get("parameterValues") or runtime.get("parameters") or ()
    _check_parameters(taken, parameters, defaults)
    root = (
        config.vertex.pipeline_root
        or spec.get("defaultPipelineRoot")
        or runtime.get("gcsOutputDirectory")
    )
    if not root:
        raise PlatformError(
            "vertex.pipeline_root is not set, and the template has no default: name a directory "
            "gs://bucket/path that the pipeline writes to"
        )
    builder = PipelineRuntimeConfigBuilder.from_job_spec_json(template)
    builder.update_pipeline_root(root)
    builder.update_runtime_parameters(parameters)
    # Cached steps would hand out the model of an earlier training in place of a new one.
    for component in (spec["root"], *spec.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {"enableCache": False}
    labels = {
        **config.vertex.pipeline_labels,
        "transak-drift-monitor": config.model_monitor_id,
        CHAMPION_LABEL: champion.version_id,
    }
    labels |= zip(DAY_LABELS, (known["first_day"], known["last_day"]), strict=True)
    if request.run_id:
        labels[_RUN_LABEL] = request.run_id[:63]
    purpose = request.drift_event_key or request.run_id
    job = PipelineJob(
        display_name=f"{config.training_pipeline} {purpose}"[:128],
        pipeline_spec=spec,
        labels=labels,
        service_account=config.vertex.pipeline_service_account,
        network=config.vertex.pipeline_network,
    )
    json_format.ParseDict(builder.build(), PipelineJob.pb(job).runtime_config)
    return job


def pipeline_job_id(training_pipeline: str, event_key: str) -> str:
    """Derive the id of an event's training PipelineJob, so that a second creation is refused.

    It matches `[a-z][-a-z0-9]{0,127}` (CreatePipelineJobRequest.pipeline_job_id).
    """
    digest = hashlib.sha256(event_key.encode()).hexdigest()[:32]
    return f"{training_pipeline[: _MAX_JOB_ID_LENGTH - 40]}-drift-{digest}"


def _known_parameters(
    config: MonitoringConfig, request: TrainingRequest, champion: Model
) -> dict[str, str]:
    first_day, final_day = training_days(config, request)
    return {
        "project": config.project_id,
        "location": config.location,
        "model_name": config.model_name,
        "parent_model": champion.name,
        "champion_uri": champion.artifact_uri,
        "champion_version": champion.version_id,
        "drift_event": request.drift_event_key or "",
        "first_day": first_day.isoformat(),
        "last_day": final_day.isoformat(),
        "monitoring_config": config.model_dump_json(exclude_none=True),
    }


def _filled(text: str, values: dict[str, str]) -> str:
    for name in ("model_name", "drift_event", "first_day", "last_day"):
        text = text.replace(f"{{{name}}}", values[name])
    return text


def _check_parameters(
    taken: Mapping[str, Mapping[str, Any]], given: Iterable[str], defaults: Iterable[str]
) -> None:
    """Hold the names of the given parameters against the definitions in the template."""
    for name in sorted({*given} - {*taken}):
        raise PlatformError(
            f"vertex.pipeline_parameters.{name} is no parameter of the pipeline; it takes "
            f"{', '.join(sorted(taken)) or 'none'}"
        )
    for name in sorted({*taken} - {*given, *defaults}):
        if "defaultValue" not in taken[name] and not taken[name].get("isOptional"):
            raise PlatformError(
                f"the pipeline needs the parameter {name}: add vertex.pipeline_parameters.{name} "
                "to the configuration"
            )


def _load_template(connection: VertexConnection, address: str) -> dict[str, Any]:
    """Read a compiled pipeline in the form of a job, with `pipelineSpec` and `runtimeConfig`.

    It may be either of the two documents that the KFP compiler writes.
    """
    document = _read_document(connection, address)
    if isinstance(document, dict) and "pipelineSpec" not in document and "root" in document:
        document = {"pipelineSpec": document}
    spec = document.get("pipelineSpec") if isinstance(document, dict) else None
    if not isinstance(spec, dict) or "root" not in spec or "schemaVersion" not in spec:
        raise PlatformError(
            f"vertex.pipeline_template = {address!r} is no compiled pipeline: it has no root and "
            "schemaVersion; compile it with kfp.compiler (here: `transak-drift compile-pipelines`)"
        )
    return {"runtimeConfig": {}, **document}


def _read_document(connection: VertexConnection, address: str) -> Any:
    account = connection.service_account
    try:
        if address.startswith("https://"):
            with explained("artifactregistry.files.download", address, account):
                session = AuthorizedSession(connection.credentials)
                response = session.get(address, timeout=connection.limits.attempt_seconds)
            response.raise_for_status()
            return yaml.safe_load(response.text)
        resource = address if address.startswith("gs://") else "the local file"
        with explained("storage.objects.get", resource, account):
            return yaml_utils.load_yaml(address, connection.project_id, connection.credentials)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PlatformError(
            f"vertex.pipeline_template = {address!r} cannot be read: {error}; compile the pipeline "
            "there, name another place, or, if it is forbidden in Artifact Registry, grant "
            "roles/artifactregistry.reader on the repository"
        ) from error
