"""Datasets as Model Monitoring takes them, from the addresses in the configuration."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection

BATCH_PREDICTION = "batchPredictionJobs/"

_DAY = re.compile(r"\{date(?::(?P<form>[^{}]+))?\}")
# The endings that the configuration takes of files.
_FORMATS = {"csv": "CSV", "jsonl": "JSONL", "tfrecord": "TF_RECORD"}


def prediction_address(config: MonitoringConfig, day: date) -> tuple[str, str | None]:
    """Return where the predictions of a day are, and the column that tells their day.

    That column is None where each day has an address of its own.

    Raises:
        PlatformError: the configuration names no place.
    """
    address = config.vertex.prediction_dataset
    if address is None:
        raise PlatformError(
            "vertex.prediction_dataset is not set: name what is monitored each day, as "
            "bq://project.dataset.table, gs://bucket/path or batchPredictionJobs/<display name>"
        )
    of_day = _DAY.sub(lambda match: day.strftime(match["form"] or "%Y-%m-%d"), address)
    return of_day, config.date_column if of_day == address else None


def training_dataset_input(config: MonitoringConfig, version: str) -> types.ModelMonitoringInput:
    """Name the baseline: `vertex.training_dataset` with the version that predicts put in."""
    address = config.vertex.training_dataset
    if address is None:
        raise PlatformError(
            "vertex.training_dataset is not set: name the data that the model was trained on, as "
            "bq://project.dataset.table or gs://bucket/path; it is the baseline"
        )
    return _columnized(address.replace("{model_version}", version))


def prediction_dataset_input(
    connection: VertexConnection, config: MonitoringConfig, day: date
) -> types.ModelMonitoringInput:
    """Name a day's target dataset; without a day in its address, the rows of that day in UTC."""
    address, date_column = prediction_address(config, day)
    if address.startswith(BATCH_PREDICTION):
        return batch_prediction_input(find_batch_prediction_job(connection, address))
    dataset = _columnized(address)
    if date_column is not None:
        start = datetime.combine(day, time(), tzinfo=UTC)
        dataset.columnized_dataset.timestamp_field = date_column
        dataset.time_interval.start_time.FromDatetime(start)
        dataset.time_interval.end_time.FromDatetime(start + timedelta(days=1))
    return dataset


def batch_prediction_input(name: str) -> types.ModelMonitoringInput:
    """Name the output of a BatchPredictionJob, given its resource name."""
    return types.ModelMonitoringInput(batch_prediction_output={"batch_prediction_job": name})


def find_batch_prediction_job(connection: VertexConnection, address: str) -> str:
    """Return the name of the newest job of `batchPredictionJobs/<display name>` that succeeded."""
    parent = connection.endpoint.parent
    display_name = address.removeprefix(BATCH_PREDICTION)
    jobs = connection.list_all(
        connection.jobs.list_batch_prediction_jobs,
        parent=parent,
        filter=f"display_name={quoted(display_name)}",
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


def quoted(text: str) -> str:
    """Quote a text for the filter of a list."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def describe_input(dataset: types.ModelMonitoringInput) -> str:
    """Return a dataset's address, query or resource name; an empty string where it has none."""
    columnized = dataset.columnized_dataset
    return (
        columnized.bigquery_source.table_uri
        or columnized.bigquery_source.query
        or columnized.gcs_source.gcs_uri
        or columnized.vertex_dataset
        or dataset.batch_prediction_output.batch_prediction_job
        or ", ".join(dataset.vertex_endpoint_logs.endpoints)
    )


def _columnized(address: str) -> types.ModelMonitoringInput:
    if address.startswith("bq://"):
        dataset = {"bigquery_source": {"table_uri": address}}
    else:
        file_format = _FORMATS[address.rpartition(".")[2]]
        dataset = {"gcs_source": {"gcs_uri": address, "format_": file_format}}
    return types.ModelMonitoringInput(columnized_dataset=dataset)
