"""What a monitoring job finds: real statistics of real files, as Vertex AI reports them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import CategoricalMetric
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
)
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.grpc_server import invalid
from transak_drift_tests.servers.tables import Error, Tables


@dataclass(frozen=True, slots=True)
class FeatureAnalysis:
    """One feature of a job."""

    name: str
    objective_type: str
    metric: str
    distance: float
    threshold: float
    baseline: dict[str, Any]
    target: dict[str, Any]
    has_statistics: bool = True

    @property
    def has_anomaly(self) -> bool:
        """Whether an alert is due."""
        return self.distance > self.threshold

    def data_point(self, job_name: str) -> types.ModelMonitoringStatsDataPoint:
        """Return the statistics as the API reports them."""
        current = {"distribution": self.target, "distribution_deviation": self.distance}
        return types.ModelMonitoringStatsDataPoint(
            current_stats={"distribution_value": current},
            baseline_stats={"distribution_value": {"distribution": self.baseline}},
            threshold_value=self.threshold,
            has_anomaly=self.has_anomaly,
            model_monitoring_job=job_name,
            algorithm=self.metric,
            create_time=datetime.now(UTC),
        )

    def alert(self, job_name: str) -> types.ModelMonitoringAlert:
        """Return the alert as the API reports it."""
        now = datetime.now(UTC)
        return types.ModelMonitoringAlert(
            stats_name=self.name,
            objective_type=self.objective_type,
            alert_time=now,
            anomaly={
                "model_monitoring_job": job_name,
                "algorithm": self.metric,
                "tabular_anomaly": {
                    "summary": f"The {self.metric} distance {self.distance:.6g} is above the "
                    f"threshold {self.threshold:g}.",
                    "anomaly": self.distance,
                    "trigger_time": now,
                    "condition": {"threshold": self.threshold},
                },
            },
        )


def effective_spec(
    monitor: types.ModelMonitor, job: types.ModelMonitoringJob
) -> types.ModelMonitoringSpec:
    """Fill what a job's specification leaves out from its monitor."""
    spec = types.ModelMonitoringSpec(job.model_monitoring_spec)
    if "tabular_objective" not in spec.objective_spec:
        spec.objective_spec.tabular_objective = monitor.tabular_objective
    if "baseline_dataset" not in spec.objective_spec:
        spec.objective_spec.baseline_dataset = monitor.training_dataset
    if "notification_spec" not in spec:
        spec.notification_spec = monitor.notification_spec
    return spec


def analyse_job(
    spec: types.ModelMonitoringSpec,
    schema: types.ModelMonitoringSchema,
    buckets: Buckets,
    tables: Tables,
    batch_output: Callable[[str], str | None],
) -> list[FeatureAnalysis]:
    """Compare the datasets of a job."""
    objective, tabular = spec.objective_spec, spec.objective_spec.tabular_objective
    # What an objective compares is what the schema has of its fields, unless it names some.
    drifts = [
        (objective_type, drift, {field.name: field.data_type for field in fields})
        for objective_type, drift, fields in (
            ("raw-feature-drift", tabular.feature_drift_spec, schema.feature_fields),
            (
                "prediction-output-drift",
                tabular.prediction_output_drift_spec,
                schema.prediction_fields,
            ),
        )
        if drift
    ]
    measured: dict[str, FeatureKind | None] = {
        name: FeatureKind.CATEGORICAL
        if types_of[name] in ("categorical", "string", "boolean")
        else FeatureKind.NUMERICAL
        for _, drift, types_of in drifts
        for name in drift.features or types_of
    }
    statistics = []
    for dataset in (objective.baseline_dataset, objective.target_dataset):
        with _files(dataset, buckets, tables, batch_output) as files:
            statistics.append(scan_statistics(files, measured, is_baseline=True))
    baseline, target = statistics
    analyses = []
    for objective_type, drift, types_of in drifts:
        thresholds = {}
        for name in drift.features or types_of:
            default = (
                drift.default_categorical_alert_condition
                if measured[name] == FeatureKind.CATEGORICAL
                else drift.default_numeric_alert_condition
            )
            condition = drift.feature_alert_conditions.get(name, default)
            thresholds[name] = condition.threshold if "threshold" in condition else 1.0
        found = compare_features(
            baseline,
            target,
            thresholds,
            categorical_metric=cast(
                "CategoricalMetric", drift.categorical_metric_type or "l_infinity"
            ),
        )
        analyses += [
            FeatureAnalysis(
                name=item.feature,
                objective_type=objective_type,
                metric=item.metric,
                distance=item.distance,
                threshold=item.threshold,
                baseline=_distribution(item.feature, baseline),
                target=_distribution(item.feature, target),
            )
            for item in found
            if item.distance is not None
        ]
    return analyses


def processed_datasets(
    objective: types.ModelMonitoringObjectiveSpec, *, tells_time_range: bool
) -> types.ModelMonitoringJobExecutionDetail:
    """Tell which datasets a job has processed and, if so, of which time."""
    processed = types.ModelMonitoringJobExecutionDetail.ProcessedDataset
    target = processed(location=_location(objective.target_dataset))
    if tells_time_range and "time_interval" in objective.target_dataset:
        target.time_range = objective.target_dataset.time_interval
    return types.ModelMonitoringJobExecutionDetail(
        baseline_datasets=[processed(location=_location(objective.baseline_dataset))],
        target_datasets=[target],
    )


def _location(dataset: types.ModelMonitoringInput) -> str:
    columnized = dataset.columnized_dataset
    return (
        columnized.gcs_source.gcs_uri
        or columnized.bigquery_source.table_uri
        or columnized.bigquery_source.query
        or dataset.batch_prediction_output.batch_prediction_job
    )


def check_input(dataset: types.ModelMonitoringInput, purpose: str) -> None:
    """Refuse what the definition of ModelMonitoringInput does not take, or its guide.

    Time is for BigQuery and endpoint logs only, and needs the field that has it ("Set up model
    monitoring").
    """
    message = types.ModelMonitoringInput.pb(dataset)
    if not message.WhichOneof("dataset"):
        raise invalid(f"{purpose} is required")
    columnized = message.columnized_dataset
    if message.HasField("columnized_dataset"):
        if not columnized.WhichOneof("data_location"):
            raise invalid(f"{purpose} has no data location")
        if columnized.HasField("bigquery_source"):
            source = columnized.bigquery_source
            if not (source.query or re.fullmatch(r"bq://[^.]+\.[^.]+\.[^.]+", source.table_uri)):
                raise invalid(f"{purpose}: {source.table_uri!r} is no table, and there is no query")
    if message.WhichOneof("time_spec") and not message.HasField("vertex_endpoint_logs"):
        if not columnized.HasField("bigquery_source"):
            raise invalid(f"{purpose}: a time specification is for BigQuery and endpoint logs only")
        if not columnized.timestamp_field:
            raise invalid(f"{purpose}: a time specification needs timestamp_field")


@contextmanager
def _files(
    dataset: types.ModelMonitoringInput,
    buckets: Buckets,
    tables: Tables,
    batch_output: Callable[[str], str | None],
) -> Generator[list[Path]]:
    source = dataset.columnized_dataset.bigquery_source
    if source.query or source.table_uri:
        with TemporaryDirectory() as directory:
            path = Path(directory) / "rows.parquet"
            try:
                tables.write(_rows_of(dataset), path)
            except Error as error:
                raise invalid(f"BigQuery: {error}") from None
            yield [path]
        return
    uri = dataset.columnized_dataset.gcs_source.gcs_uri
    job = dataset.batch_prediction_output.batch_prediction_job
    if job:
        output = batch_output(job)
        if output is None:
            raise invalid(f"the batch prediction job {job} does not exist")
        uri = f"{output}/*.csv"
    files = buckets.files(uri.removeprefix("gs://"))
    if not files:
        raise invalid(f"{uri or 'the dataset'} matches no object")
    yield files


def _rows_of(dataset: types.ModelMonitoringInput) -> str:
    """Write the query of a dataset's rows, of its time interval where it has one."""
    columnized = dataset.columnized_dataset
    table = columnized.bigquery_source.table_uri.removeprefix("bq://")
    query = columnized.bigquery_source.query or f"SELECT * FROM `{table}`"
    if "time_interval" not in dataset:
        return query
    interval = dataset.time_interval
    start, end = (bound.ToDatetime() for bound in (interval.start_time, interval.end_time))
    moment = f"CAST(`{columnized.timestamp_field}` AS TIMESTAMP)"
    bounds = f"{moment} >= TIMESTAMP '{start}' AND {moment} < TIMESTAMP '{end}'"
    return f"SELECT * FROM (\n{query}\n) WHERE {bounds}"


def _distribution(name: str, dataset: DatasetStatistics) -> dict[str, Any]:
    # The JSON form of tensorflow.metadata.v0.DatasetFeatureStatistics, where 64-bit numbers are
    # text ("ProtoJSON Format").
    statistics = dataset.features[name]
    present, missing = str(int(statistics.present)), str(statistics.missing)
    common = {"numNonMissing": present, "numMissing": missing}
    if isinstance(statistics, CategoricalStatistics):
        ranked = sorted(statistics.counts.items(), key=lambda item: (-item[1], item[0]))
        buckets = [
            {"lowRank": str(n), "highRank": str(n), "label": label, "sampleCount": float(count)}
            for n, (label, count) in enumerate(ranked[:1000])
        ]
        histogram = {"unique": str(len(ranked)), "rankHistogram": {"buckets": buckets}}
        feature = {"type": "STRING", "stringStats": {"commonStats": common, **histogram}}
    else:
        edges = statistics.edges
        buckets = [
            {"lowValue": low, "highValue": high, "sampleCount": float(count)}
            for low, high, count in zip(edges, edges[1:], statistics.counts, strict=False)
        ]
        histograms = [{"type": "STANDARD", "buckets": buckets}]
        if statistics.quantiles:
            # Ten buckets of as many rows, as TensorFlow Data Validation's.
            deciles = np.quantile(statistics.quantiles, np.arange(11) / 10).tolist()
            tenth = math.fsum(statistics.counts) / 10
            buckets = [
                {"lowValue": low, "highValue": high, "sampleCount": tenth}
                for low, high in pairwise(deciles)
            ]
            histograms.append({"type": "QUANTILES", "buckets": buckets})
        feature = {"type": "FLOAT", "numStats": {"commonStats": common, "histograms": histograms}}
    return {"numExamples": str(dataset.rows), "features": [{"name": name, **feature}]}
