"""What a monitoring job finds: real statistics of real files, as Vertex AI reports them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud.aiplatform_v1beta1 import types

from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
)
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.grpc_server import invalid


@dataclass(frozen=True, slots=True)
class FeatureAnalysis:
    """One feature of a job."""

    name: str
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
            objective_type="raw-feature-drift",
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
    batch_output: Callable[[str], str | None],
) -> list[FeatureAnalysis]:
    """Compare the datasets of a job."""
    objective = spec.objective_spec
    drift = objective.tabular_objective.feature_drift_spec
    types_of = {field.name: field.data_type for field in schema.feature_fields}
    measured: dict[str, FeatureKind | None] = {
        name: FeatureKind.CATEGORICAL
        if types_of[name] in ("categorical", "string", "boolean")
        else FeatureKind.NUMERICAL
        for name in drift.features or types_of
    }
    thresholds = {}
    for name, kind in measured.items():
        default = (
            drift.default_categorical_alert_condition
            if kind == FeatureKind.CATEGORICAL
            else drift.default_numeric_alert_condition
        )
        condition = drift.feature_alert_conditions.get(name, default)
        thresholds[name] = condition.threshold if "threshold" in condition else 1.0
    baseline, target = (
        scan_statistics(_files(dataset, buckets, batch_output), measured)
        for dataset in (objective.baseline_dataset, objective.target_dataset)
    )
    found = compare_features(baseline, target, thresholds)
    return [
        FeatureAnalysis(
            name=item.feature,
            metric=item.metric,
            distance=item.distance,
            threshold=item.threshold,
            baseline=_distribution(item.feature, baseline),
            target=_distribution(item.feature, target),
        )
        for item in found
        if item.distance is not None
    ]


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
        or dataset.batch_prediction_output.batch_prediction_job
    )


def _files(
    dataset: types.ModelMonitoringInput,
    buckets: Buckets,
    batch_output: Callable[[str], str | None],
) -> list[Path]:
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
    return files


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
        feature = {"type": "FLOAT", "numStats": {"commonStats": common, "histograms": histograms}}
    return {"numExamples": str(dataset.rows), "features": [{"name": name, **feature}]}
