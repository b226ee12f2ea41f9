"""Starts the monitoring of a day, and returns while Vertex AI does the work."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import date

from google.api_core import exceptions
from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob, ModelMonitoringSpec

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, StartedMonitoringRun
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import (
    batch_prediction_input,
    describe_input,
    prediction_dataset_input,
)
from transak_drift.vertex.model_lookup import find_model, name_of_version
from transak_drift.vertex.monitor_spec import notification_spec, output_spec, tabular_objective
from transak_drift.vertex.monitoring_jobs import get_job, has_failed
from transak_drift.vertex.monitors import monitor_in_use, monitors_of, name_of


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
            f"no ModelMonitor of {name_of_version(model)} exists; materialize model_monitor first"
        )
    parent = name_of(connection, monitor)
    if not describe_input(monitor.training_dataset):
        raise PlatformError(
            f"{parent} has no baseline; set vertex.training_dataset in the configuration and "
            "materialize model_monitor"
        )
    if batch_prediction_job is not None:
        target = batch_prediction_input(batch_prediction_job)
    else:
        target = prediction_dataset_input(connection, config, day)
    # A job with a specification of its own takes nothing from the monitor, so all is given.
    spec = ModelMonitoringSpec(
        objective_spec={
            "tabular_objective": tabular_objective(config),
            "baseline_dataset": monitor.training_dataset,
            "target_dataset": target,
        },
        notification_spec=notification_spec(config),
        output_spec=output_spec(config),
    )
    job = ModelMonitoringJob(
        display_name=f"{config.monitoring_job_display_name[:110]} {day}",
        model_monitoring_spec=spec,
    )
    # At most 63 characters of a-z, 0-9 and - ("CreateModelMonitoringJobRequest").
    document = json.dumps(ModelMonitoringSpec.to_dict(spec), sort_keys=True)
    job_id = base = f"day-{day:%Y%m%d}-{hashlib.sha256(document.encode()).hexdigest()[:12]}"
    for attempt in itertools.count(2):
        if not has_failed(_create_or_adopt(connection, parent, job, job_id)):
            break
        job_id = f"{base}-{attempt}"
    return StartedMonitoringRun(f"{parent}/modelMonitoringJobs/{job_id}")


def _create_or_adopt(
    connection: VertexConnection, parent: str, job: ModelMonitoringJob, job_id: str
) -> ModelMonitoringJob:
    try:
        return connection.call(
            connection.model_monitoring.create_model_monitoring_job,
            parent=parent,
            model_monitoring_job=job,
            model_monitoring_job_id=job_id,
        )
    except exceptions.AlreadyExists:
        name = f"{parent}/modelMonitoringJobs/{job_id}"
        found = get_job(connection, name)
        if found is None:
            raise PlatformError(f"{name} was deleted meanwhile; run this again") from None
        return found
