"""Looks at the model, the monitor and the training pipeline; changes nothing."""

from __future__ import annotations

from transak_drift.config.finding import Finding, gap, in_order
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import RegistryVersion, find_model
from transak_drift.vertex.monitor_difference import difference
from transak_drift.vertex.monitor_spec import model_monitor
from transak_drift.vertex.monitors import id_of, monitor_in_use, monitors_of, name_of
from transak_drift.vertex.training_launch import build_training_job

_MAX_CHANGES = 5


def inspect_vertex(
    connection: VertexConnection, config: MonitoringConfig, request: TrainingRequest
) -> list[Finding]:
    """Compare Vertex AI with the configuration; the training's PipelineJob is only built."""
    findings: list[Finding] = []
    model: RegistryVersion | None = None
    try:
        model = find_model(connection, config)
        findings.append(in_order("model", f"{model.name} predicts"))
    except PlatformError as error:
        findings.append(
            gap("model", str(error), "upload the model, or correct model_name in the configuration")
        )
    findings.append(_inspect_monitor(connection, config, model))
    findings.append(_inspect_pipeline(connection, config, model, request))
    return findings


def _inspect_monitor(
    connection: VertexConnection, config: MonitoringConfig, model: RegistryVersion | None
) -> Finding:
    piece = "model monitor"
    apply = "materialize model_monitor (job prepare_monitoring)"
    if model is None:
        return gap(piece, "not looked at, since there is no model", "see the model")
    try:
        present = monitor_in_use(monitors_of(connection, model), config, model)
        if present is None:
            return gap(piece, f"no ModelMonitor of {model.name} exists", apply)
        name = name_of(connection, id_of(present))
        changes = difference(present, model_monitor(config, model))
    except PlatformError as error:
        return gap(piece, str(error), f"fix what was found, then {apply}")
    if not changes:
        return in_order(piece, f"{name} agrees with the configuration")
    listed = "; ".join(
        f"{change.path} is {change.before!r}, not {change.after!r}"
        for change in changes[:_MAX_CHANGES]
    )
    return gap(piece, f"{len(changes)} settings differ: {listed}", apply)


def _inspect_pipeline(
    connection: VertexConnection,
    config: MonitoringConfig,
    model: RegistryVersion | None,
    request: TrainingRequest,
) -> Finding:
    piece = "training pipeline"
    if config.vertex.pipeline_template is None:
        return gap(
            piece,
            "vertex.pipeline_template is not set, so that no drift can train",
            "name the compiled pipeline in the configuration",
        )
    if model is None:
        return gap(piece, "not looked at, since there is no model", "see the model")
    try:
        build_training_job(connection, config, request, config.vertex.pipeline_template, model)
    except PlatformError as error:
        return gap(piece, str(error), "fix what was found; the next drift could not train")
    return in_order(piece, f"{config.vertex.pipeline_template} takes what it is given")
