"""Starts the monitoring of a day, and returns while Vertex AI does the work."""

from __future__ import annotations

import hashlib
import json
from datetime import date

from google.api_core import exceptions
from google.cloud.aiplatform_v1beta1.types import (
    ModelMonitoringInput,
    ModelMonitoringJob,
    ModelMonitoringSpec,
)

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, StartedMonitoringRun
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import (
    batch_prediction_input,
    describe_input,
    prediction_dataset_input,
)
from transak_drift.vertex.model_lookup import find_model
from transak_drift.vertex.monitor_spec import notification_spec, output_spec, tabular_objective
from transak_drift.vertex.monitoring_jobs import get_job, has_failed
from transak_drift.vertex.monitors import id_of, monitor_in_use, monitors_of, name_of

_MAX_ATTEMPTS = 20


def start_monitoring_run(
    connection: VertexConnection,
    config: MonitoringConfig,
    day: date,
    batch_prediction_job: str | None = None,
) -> StartedMonitoringRun:
    """Start the comparison of a day's data with the baseline.

    The job's id is made of the day and of what is compared, so that a repeated start is answered
    ALREADY_EXISTS and finds the job of the first; only a job that failed is followed by another.

    Args:
        connection: the location's clients.
        config: the monitored model; its thresholds count.
        day: the day.
        batch_prediction_job: resource name of the job whose output is the day's data; None takes
            `vertex.prediction_dataset` of the configuration.

    Returns:
        The job's resource name, within seconds.

    Raises:
        PlatformError: the monitor, its baseline or the day's data are missing, or a call is
            refused.
    """
    model = find_model(connection, config)
    monitor = monitor_in_use(monitors_of(connection, model), config, model)
    if monitor is None:
        raise PlatformError(
            f"no ModelMonitor of {model.name} exists; materialize model_monitor first"
        )
    parent = name_of(connection, id_of(monitor))
    if not describe_input(monitor.training_dataset):
        raise PlatformError(
            f"{parent} has no baseline; set vertex.training_dataset in the configuration and "
            "materialize model_monitor"
        )
    if batch_prediction_job is not None:
        target = batch_prediction_input(batch_prediction_job)
    else:
        target = prediction_dataset_input(connection, config, day)
    spec = _monitoring_spec(config, monitor.training_dataset, target)
    base = _job_id(day, spec)
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        name = f"{parent}/modelMonitoringJobs/{base if attempt == 1 else f'{base}-{attempt}'}"
        if not has_failed(_create_or_adopt(connection, config, name, day, spec)):
            return StartedMonitoringRun(name)
    raise PlatformError(
        f"{_MAX_ATTEMPTS} monitoring jobs of {day} have failed, the last is {name}; look at "
        "its error, then delete the failed jobs"
    )


def _job_id(day: date, spec: ModelMonitoringSpec) -> str:
    # At most 63 characters of a-z, 0-9 and - ("CreateModelMonitoringJobRequest").
    document = json.dumps(ModelMonitoringSpec.to_dict(spec), sort_keys=True)
    return f"day-{day:%Y%m%d}-{hashlib.sha256(document.encode()).hexdigest()[:12]}"


def _create_or_adopt(
    connection: VertexConnection,
    config: MonitoringConfig,
    name: str,
    day: date,
    spec: ModelMonitoringSpec,
) -> ModelMonitoringJob:
    parent, _, job_id = name.partition("/modelMonitoringJobs/")
    job = {
        "display_name": f"{config.monitoring_job_display_name[:110]} {day}",
        "model_monitoring_spec": spec,
    }
    try:
        return connection.call(
            connection.model_monitoring.create_model_monitoring_job,
            "aiplatform.modelMonitoringJobs.create",
            parent,
            parent=parent,
            model_monitoring_job=job,
            model_monitoring_job_id=job_id,
        )
    except exceptions.AlreadyExists:
        found = get_job(connection, name)
        if found is None:
            raise PlatformError(f"{name} was deleted meanwhile; run this again") from None
        return found


def _monitoring_spec(
    config: MonitoringConfig, baseline: ModelMonitoringInput, target: ModelMonitoringInput
) -> ModelMonitoringSpec:
    # A job with a specification of its own takes nothing from the monitor, so all is given.
    return ModelMonitoringSpec(
        objective_spec={
            "tabular_objective": tabular_objective(config),
            "baseline_dataset": baseline,
            "target_dataset": target,
        },
        notification_spec=notification_spec(config),
        output_spec=output_spec(config),
    )
