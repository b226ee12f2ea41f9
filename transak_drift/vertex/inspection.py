"""Looks at the model, its monitors and their jobs, and the training pipeline; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.cloud.aiplatform_v1.types import Model
from google.cloud.aiplatform_v1beta1.types import ModelMonitor

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.google_cloud.inspection import Check, missing, passed, unknown
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
from transak_drift.trigger.sink_filter import lets_monitor_through, sink_filter
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model, name_of_version
from transak_drift.vertex.monitor_spec import difference, model_monitor
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift.vertex.monitors import id_of, monitor_in_use, monitors_of, name_of
from transak_drift.vertex.training_launch import build_training_job

_MAX_CHANGES = 5
_MAX_ASSESSED_JOBS = 3
_APPLY = "materialize model_monitor (job prepare_monitoring)"


@dataclass(frozen=True, slots=True)
class VertexInspection:
    """What was looked at: the checks, the ids of the model's monitors, of every version, and the
    newest job that found drift."""

    checks: tuple[Check, ...]
    monitor_ids: tuple[str, ...] = ()
    drifted_job: str | None = None


def inspect_vertex(
    connection: VertexConnection, config: MonitoringConfig, since: datetime
) -> VertexInspection:
    """Hold Vertex AI, and its monitoring jobs since a time, against the configuration."""
    try:
        model = find_model(connection, config)
    except PlatformError as error:
        fix = "upload the model, or correct model_name or model_alias in the configuration"
        unseen = missing("model monitor", "not looked at, since there is no model", "see the model")
        return VertexInspection((missing("model", str(error), fix), unseen))
    monitors: list[ModelMonitor] = []
    try:
        monitors = monitors_of(connection, model)
        monitor_checks = _check_monitors(connection, config, model, monitors)
    except PlatformError as error:
        fix = f"fix what was found, then {_APPLY}"
        monitor_checks = [missing("model monitor", str(error), fix)]
    jobs_check, drifted_job = _check_jobs(connection, config, since)
    alias = f"has the alias {config.model_alias}, so that it is monitored"
    checks = (
        passed("model", f"{name_of_version(model)} {alias}"),
        *monitor_checks,
        jobs_check,
        _check_pipeline(connection, config),
    )
    return VertexInspection(checks, tuple(id_of(monitor) for monitor in monitors), drifted_job)


def _check_monitors(
    connection: VertexConnection,
    config: MonitoringConfig,
    model: Model,
    monitors: Sequence[ModelMonitor],
) -> list[Check]:
    name = "model monitor"
    present = monitor_in_use(monitors, config, model)
    if present is None:
        return [missing(name, f"no ModelMonitor of {name_of_version(model)} exists", _APPLY)]
    changes = difference(present, model_monitor(connection, config, model))
    in_use = name_of(connection, present)
    check = passed(name, f"{in_use} agrees with the configuration")
    if changes:
        listed = "; ".join(
            f"{change.path} is {change.before!r}, not {change.after!r}"
            for change in changes[:_MAX_CHANGES]
        )
        check = missing(name, f"{in_use}: {len(changes)} settings differ: {listed}", _APPLY)
    return [check, _check_versions(config, model, monitors)]


def _check_versions(
    config: MonitoringConfig, model: Model, monitors: Sequence[ModelMonitor]
) -> Check:
    name = "monitors of the versions"
    versions = {
        id_of(monitor): monitor.model_monitoring_target.vertex_model.model_version_id
        for monitor in monitors
    }
    shown = ", ".join(f"{monitor} of version {version}" for monitor, version in versions.items())
    twins = [monitor for monitor, version in versions.items() if version == model.version_id]
    if len(twins) > 1:
        return missing(
            name,
            f"version {model.version_id} has {len(twins)} monitors: {', '.join(twins)}",
            "delete all but the one in use, or each drift trains once for each of them",
        )
    deployed = sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
    hidden = ", ".join(name for name in versions if not lets_monitor_through(deployed, name))
    if hidden:
        fix = f"add {hidden} to further_model_monitor_ids and run `terraform apply` in terraform/"
        return missing(name, f"{shown}; the log sink's filter holds back {hidden}", fix)
    return passed(name, shown)


def _check_jobs(
    connection: VertexConnection, config: MonitoringConfig, since: datetime
) -> tuple[Check, str | None]:
    name = "newest monitoring jobs"
    platform = VertexMonitoringJobs(connection)
    try:
        jobs = platform.list_monitoring_jobs(config, since)
    except PlatformError as error:
        fix = "grant aiplatform.modelMonitoringJobs.list and .get on the project"
        return unknown(name, str(error), fix), None
    if not jobs:
        return passed(name, f"none since {since:%Y-%m-%d}"), None
    assessor = Assessor([(config, platform)], datetime.now(UTC))
    found: dict[str, Assessment] = {}
    for job in reversed(jobs[-_MAX_ASSESSED_JOBS:]):
        key = (job.model_monitor_id, job.monitoring_job_id)
        found["/".join(key)] = assessor.assess_job(config, *key)
    drifted = next((key for key, item in found.items() if item.verdict == Verdict.DRIFT), None)
    sentences = [f"{key}: {item.verdict}: {item.reason}" for key, item in found.items()]
    detail = f"{len(jobs)} since {since:%Y-%m-%d}; {'; '.join(sentences)}"
    verdicts = [item.verdict for item in found.values() if item.verdict != Verdict.WAITING]
    if verdicts and verdicts[0] in (Verdict.REJECTED, Verdict.UNAVAILABLE):
        fix = "correct what the job says; the trigger rejects it"
        return missing(name, detail, fix), drifted
    return passed(name, detail), drifted


def _check_pipeline(connection: VertexConnection, config: MonitoringConfig) -> Check:
    name = "training pipeline"
    request = TrainingRequest("doctor/doctor", datetime.now(UTC), "doctor")
    try:
        build_training_job(connection, config, request)
    except PlatformError as error:
        return missing(name, str(error), "fix what was found; the next drift could not train")
    return passed(name, f"{config.vertex.pipeline_template} takes what it is given")
