"""Datasets as Model Monitoring takes them, from the addresses in the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from transak_drift.platform import PlatformError

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import ModelMonitoringInput

BIGQUERY = "bq://"
CLOUD_STORAGE = "gs://"
BATCH_PREDICTION = "batchPredictionJobs/"

_DAY = re.compile(r"\{date(?::(?P<form>[^{}]+))?\}")
_FORMATS = {"csv": "CSV", "jsonl": "JSONL", "tfrecord": "TF_RECORD"}


def address_of_day(address: str, day: date) -> str:
    """Put a day in place of each `{date}` or `{date:<form of strftime>}` of an address."""
    return _DAY.sub(lambda match: day.strftime(match["form"] or "%Y-%m-%d"), address)


def is_split_by_day(address: str) -> bool:
    """Return whether each day has an address of its own."""
    return _DAY.search(address) is not None


def training_dataset_input(address: str, model_version: str) -> ModelMonitoringInput:
    """Name the baseline: `vertex.training_dataset` with the version that predicts put in."""
    return _columnized(address.replace("{model_version}", model_version), "training_dataset")


def prediction_dataset_input(
    address: str, day: date, date_column: str, find_batch_prediction_job: Callable[[str], str]
) -> ModelMonitoringInput:
    """Name a day's target dataset.

    Args:
        address: `vertex.prediction_dataset` of the configuration.
        day: the monitored day.
        date_column: column with the time of a row, where the address is not split by day.
        find_batch_prediction_job: resolves a display name to a resource name.

    Returns:
        The dataset; without a day in its address, the rows from midnight to midnight UTC.

    Raises:
        PlatformError: the address is of no supported form, or no such job exists.
    """
    from google.cloud.aiplatform_v1beta1 import types
    from google.type import interval_pb2

    of_day = address_of_day(address, day)
    if of_day.startswith(BATCH_PREDICTION):
        name = find_batch_prediction_job(of_day.removeprefix(BATCH_PREDICTION))
        return batch_prediction_input(name)
    dataset = _columnized(of_day, "prediction_dataset")
    if not is_split_by_day(address):
        start = datetime.combine(day, time(), tzinfo=UTC)
        interval = interval_pb2.Interval()
        interval.start_time.FromDatetime(start)
        interval.end_time.FromDatetime(start + timedelta(days=1))
        dataset.columnized_dataset.timestamp_field = date_column
        dataset = types.ModelMonitoringInput(
            columnized_dataset=dataset.columnized_dataset, time_interval=interval
        )
    return dataset


def batch_prediction_input(name: str) -> ModelMonitoringInput:
    """Name the output of a BatchPredictionJob, given its resource name."""
    from google.cloud.aiplatform_v1beta1 import types

    return types.ModelMonitoringInput(
        batch_prediction_output=types.ModelMonitoringInput.BatchPredictionOutput(
            batch_prediction_job=name
        )
    )


def describe_input(dataset: ModelMonitoringInput) -> str:
    """Return a dataset's address, query or resource name; an empty string where it has none."""
    columnized = dataset.columnized_dataset
    for text in (
        columnized.bigquery_source.table_uri,
        columnized.bigquery_source.query,
        columnized.gcs_source.gcs_uri,
        columnized.vertex_dataset,
        dataset.batch_prediction_output.batch_prediction_job,
    ):
        if text:
            return text
    return ", ".join(dataset.vertex_endpoint_logs.endpoints)


def _columnized(address: str, key: str) -> ModelMonitoringInput:
    from google.cloud.aiplatform_v1beta1 import types

    dataset_type = types.ModelMonitoringInput.ModelMonitoringDataset
    if address.startswith(BIGQUERY):
        source = dataset_type.ModelMonitoringBigQuerySource(table_uri=address)
        dataset = dataset_type(bigquery_source=source)
    elif address.startswith(CLOUD_STORAGE):
        ending = address.rpartition(".")[2]
        if ending not in _FORMATS:
            raise PlatformError(
                f"vertex.{key} = {address!r} does not end in .csv, .jsonl or .tfrecord, which are "
                "the formats that Model Monitoring reads; name such files, or a BigQuery table"
            )
        files_type = dataset_type.ModelMonitoringGcsSource
        files = files_type(gcs_uri=address, format_=files_type.DataFormat[_FORMATS[ending]])
        dataset = dataset_type(gcs_source=files)
    else:
        raise PlatformError(
            f"vertex.{key} = {address!r} is neither bq://project.dataset.table nor "
            "gs://bucket/path; write one of them"
        )
    return types.ModelMonitoringInput(columnized_dataset=dataset)
