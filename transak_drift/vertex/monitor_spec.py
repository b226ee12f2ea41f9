"""What a configuration asks of Vertex AI: the ModelMonitor, what differs from it, and the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from google.cloud.aiplatform_v1.types import Model
from google.cloud.aiplatform_v1beta1 import types
from google.protobuf.field_mask_pb2 import FieldMask  # ty: ignore[missing-module-member]

from transak_drift.config.data_source import (
    BATCH_PREDICTION,
    BIGQUERY,
    DataSource,
    fill_placeholders,
    names_window,
    quote_identifier,
    select_month,
)
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.platform import Change, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import trained_days

NUMERICAL_METRIC = "jensen_shannon_divergence"
_DATA_TYPES = {"categorical": "categorical", "numerical": "float"}
# The endings that the configuration takes of files.
_FORMATS = {"csv": "CSV", "jsonl": "JSONL", "tfrecord": "TF_RECORD"}
_FAILED = (
    types.JobState.JOB_STATE_FAILED,
    types.JobState.JOB_STATE_CANCELLING,
    types.JobState.JOB_STATE_CANCELLED,
    types.JobState.JOB_STATE_EXPIRED,
)
_NO_DAYS = Window(date.min, date.min)
_PROJECT = re.compile(r'"projects/[^/"]+/')
# What the configuration decides of a monitor, each as a whole; all else is kept as it is.
_DECIDED = (
    "display_name",
    "model_monitoring_schema.feature_fields",
    "model_monitoring_target.vertex_model",
    "notification_spec",
    "output_spec.gcs_base_directory",
    "tabular_objective.feature_drift_spec",
    "training_dataset",
)
_DECIDED_OF_PREDICTIONS = (
    "model_monitoring_schema.prediction_fields",
    "tabular_objective.prediction_output_drift_spec",
)


def model_monitor(
    connection: VertexConnection, config: MonitoringConfig, model: Model
) -> types.ModelMonitor:
    """Build the ModelMonitor of a version, without a resource name."""
    target = {"model": model.name, "model_version_id": model.version_id}
    fields = [
        {"name": feature, "data_type": _data_type(config, feature)}
        for feature in config.drift_thresholds
    ]
    schema: dict[str, Any] = {"feature_fields": fields}
    if config.prediction_drift is not None:
        column = config.prediction_drift.column
        schema["prediction_fields"] = [{"name": column, "data_type": "categorical"}]
    return types.ModelMonitor(
        display_name=config.monitoring_job_display_name,
        model_monitoring_target={"vertex_model": target},
        training_dataset=_columnized(training_source(connection, config, model)),
        model_monitoring_schema=schema,
        **shared_settings(config),
    )


def shared_settings(config: MonitoringConfig) -> dict[str, Any]:
    """Build what a monitor and its jobs have alike: what is compared, who is notified, the output.

    Each configured feature has its own threshold; without an output Vertex AI chooses the place.
    """
    directory = config.vertex.monitoring_output
    output = {"gcs_base_directory": {"output_uri_prefix": directory}} if directory else None
    return {
        "tabular_objective": _tabular_objective(config),
        "notification_spec": {
            "email_config": {"user_emails": list(config.user_emails)},
            "enable_cloud_logging": config.log_anomalies,
            "notification_channel_configs": [
                {"notification_channel": channel} for channel in config.notification_channels
            ],
        },
        "output_spec": output,
    }


def _tabular_objective(config: MonitoringConfig) -> dict[str, Any]:
    """Build what is compared; without features none is asked for, since no name means all."""

    def drift_spec(thresholds: Mapping[str, float]) -> dict[str, Any]:
        return {
            "features": list(thresholds),
            "categorical_metric_type": config.categorical_metric,
            "numeric_metric_type": NUMERICAL_METRIC,
            "feature_alert_conditions": {
                name: {"threshold": threshold} for name, threshold in thresholds.items()
            },
        }

    objective = {}
    if config.drift_thresholds:
        defaults = config.default_drift_thresholds
        objective["feature_drift_spec"] = drift_spec(config.drift_thresholds) | {
            f"default_{kind}_alert_condition": {"threshold": threshold}
            for kind, threshold in (
                ("categorical", defaults.categorical),
                ("numeric", defaults.numerical),
            )
            if threshold is not None
        }
    if (prediction := config.prediction_drift) is not None:
        thresholds = {prediction.column: prediction.threshold}
        objective["prediction_output_drift_spec"] = drift_spec(thresholds)
    return objective


def difference(
    present: types.ModelMonitor | None, desired: types.ModelMonitor
) -> tuple[Change, ...]:
    """List what of the desired settings a monitor, None where it does not exist, has otherwise.

    What is empty and what is not there are the same. The first part of a path is the field of
    ModelMonitor that an update mask names.
    """
    decided = _decided_by(present, desired)
    before = {} if present is None else _settings_of(present, decided)
    after = _settings_of(desired, decided)
    if not _has_predictions(desired):
        removed = (path for path in before if path.startswith(_DECIDED_OF_PREDICTIONS))
        after |= dict.fromkeys(removed)
    return tuple(
        Change(path, before.get(path), value)
        for path, value in after.items()
        if (before.get(path) or None) != (value or None)
    )


def merged(present: types.ModelMonitor, desired: types.ModelMonitor) -> types.ModelMonitor:
    """Return a copy of a monitor with the configured settings; all others are kept."""
    monitor = types.ModelMonitor(present)
    source, target = types.ModelMonitor.pb(desired), types.ModelMonitor.pb(monitor)
    FieldMask(paths=_decided_by(present, desired)).MergeMessage(source, target, True, True)
    return monitor


def _decided_by(present: types.ModelMonitor | None, desired: types.ModelMonitor) -> tuple[str, ...]:
    """Return what is decided; of predictions also that none are compared any longer.

    What others have a monitor compare is kept. Ours is known by its one column, which has a
    threshold.
    """
    if not _has_predictions(desired):
        spec = present and present.tabular_objective.prediction_output_drift_spec
        columns = [*spec.feature_alert_conditions] if spec else []
        if spec is None or len(columns) != 1 or list(spec.features) != columns:
            return _DECIDED
    return (*_DECIDED, *_DECIDED_OF_PREDICTIONS)


def _has_predictions(monitor: types.ModelMonitor) -> bool:
    return "prediction_output_drift_spec" in monitor.tabular_objective


def prediction_source(config: MonitoringConfig, window: Window) -> DataSource:
    """Return where the predictions of a window are."""
    vertex, column = config.vertex, config.date_column
    if vertex.prediction_query is not None:
        return DataSource(query=fill_placeholders(vertex.prediction_query, window))
    if vertex.prediction_dataset is None:
        raise PlatformError(
            "vertex.prediction_dataset is not set: name what is monitored, as "
            "bq://project.dataset.table, gs://bucket/path or batchPredictionJobs/<display name>, "
            "or write vertex.prediction_query"
        )
    address = fill_placeholders(vertex.prediction_dataset, window)
    if names_window(vertex.prediction_dataset) or not address.startswith(BIGQUERY):
        return DataSource(address)
    try:
        quote_identifier(column)
    except ValueError as error:
        raise PlatformError(f"date_column: {error}") from None
    if config.date_column_format == "yyyymm":
        return DataSource(query=select_month(address.removeprefix(BIGQUERY), column, window))
    return DataSource(address, time_column=column, interval=config.windows.bounds(window))


def training_source(
    connection: VertexConnection, config: MonitoringConfig, model: Model
) -> DataSource:
    """Return where the baseline is: the data that the version that predicts was trained on."""
    version, query = model.version_id, config.vertex.training_query
    if query is not None:
        # Only a query that asks for them: they may take a call.
        days = trained_days(connection, config, model) if names_window(query) else _NO_DAYS
        return DataSource(query=fill_placeholders(query, days, version))
    if config.vertex.training_dataset is None:
        raise PlatformError(
            "vertex.training_dataset is not set: name the data that the model was trained on, as "
            "bq://project.dataset.table or gs://bucket/path, or write vertex.training_query; it is "
            "the baseline"
        )
    return DataSource(fill_placeholders(config.vertex.training_dataset, _NO_DAYS, version))


def target_dataset_input(
    connection: VertexConnection,
    config: MonitoringConfig,
    window: Window,
    batch_prediction_job: str | None,
) -> types.ModelMonitoringInput:
    """Name a window's target dataset: the output of a BatchPredictionJob, or what is configured."""
    if batch_prediction_job is None:
        source = prediction_source(config, window)
        if not source.address.startswith(BATCH_PREDICTION):
            return _columnized(source)
        batch_prediction_job = find_batch_prediction_job(connection, config, source.address, window)
    output = {"batch_prediction_job": batch_prediction_job}
    return types.ModelMonitoringInput(batch_prediction_output=output)


def find_batch_prediction_job(
    connection: VertexConnection, config: MonitoringConfig, address: str, window: Window
) -> str:
    """Return the name of the newest job of `batchPredictionJobs/<display name>` that is good.

    It may still run, since the monitoring job waits for it. Where all windows have the same display
    name, it is one that was created before the following window had ended.
    """
    display_name = address.removeprefix(BATCH_PREDICTION)
    jobs = connection.list_named(connection.jobs.list_batch_prediction_jobs, display_name)
    good = [job for job in jobs if job.state not in _FAILED]
    if good and config.vertex.prediction_dataset == address:
        _, latest = config.windows.bounds(config.windows.after(window))
        good = [job for job in good if job.create_time < latest]
        if not good:
            raise PlatformError(
                f"each batch prediction job named {display_name!r} was created after "
                f"{latest:%Y-%m-%d %H:%M} UTC, so that none is of {window}; tell windows apart in "
                "the display name, here and where the job is started, as with {first_day} in "
                "vertex.prediction_dataset"
            )
    if good:
        return max(good, key=lambda job: job.create_time).name
    where = f"batch prediction job named {display_name!r} in {connection.parent}"
    if not jobs:
        raise PlatformError(
            f"there is no {where}; run the predictions first, or correct vertex.prediction_dataset"
        )
    newest = max(jobs, key=lambda job: job.create_time)
    reason = newest.error.message or "Vertex AI gives no reason"
    raise PlatformError(
        f"no {where} is good: the newest of {len(jobs)}, {newest.name}, ended as "
        f"{types.JobState(newest.state).name}: {reason}; run the predictions again"
    )


def describe_input(dataset: types.ModelMonitoringInput) -> str:
    """Return a dataset's address, query or resource name; an empty string where it has none."""
    columnized = dataset.columnized_dataset
    return (
        columnized.bigquery_source.table_uri
        or " ".join(columnized.bigquery_source.query.split())
        or columnized.gcs_source.gcs_uri
        or columnized.vertex_dataset
        or dataset.batch_prediction_output.batch_prediction_job
        or ", ".join(dataset.vertex_endpoint_logs.endpoints)
    )


def _settings_of(monitor: types.ModelMonitor, decided: tuple[str, ...]) -> dict[str, Any]:
    """Read the settings that the configuration decides, by dotted path."""
    text = types.ModelMonitor.to_json(
        monitor, use_integers_for_enums=False, preserving_proto_field_name=True
    )
    # Vertex AI answers with the project's number where the configuration has its id, and with the
    # monitor's own directory below the one that was given.
    own_directory = f'/model_monitoring/{monitor.name.rpartition("/")[2]}"'
    text = _PROJECT.sub('"', text.replace('/"', '"').replace(own_directory, '"'))
    return {path: value for path, value in _leaves(json.loads(text)) if path.startswith(decided)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else name)
    else:
        yield path, sorted(value, key=str) if isinstance(value, list) else value


def _data_type(config: MonitoringConfig, feature: str) -> str:
    kind = config.feature_type(feature)
    if kind is None:
        raise PlatformError(
            f"the type of the feature {feature!r} is not configured, and Vertex AI needs it: "
            f'add "feature_types": {{"{feature}": "numerical"}} or "categorical"'
        )
    return _DATA_TYPES[kind]


def _columnized(source: DataSource) -> types.ModelMonitoringInput:
    if source.query:
        columnized = {"bigquery_source": {"query": source.query}}
    elif source.address.startswith(BIGQUERY):
        columnized = {"bigquery_source": {"table_uri": source.address}}
    else:
        file_format = _FORMATS[source.address.rpartition(".")[2]]
        columnized = {"gcs_source": {"gcs_uri": source.address, "format_": file_format}}
    dataset = types.ModelMonitoringInput(columnized_dataset=columnized)
    if source.time_column is not None and source.interval is not None:
        start, end = source.interval
        dataset.columnized_dataset.timestamp_field = source.time_column
        dataset.time_interval.start_time.FromDatetime(start)
        dataset.time_interval.end_time.FromDatetime(end)
    return dataset
