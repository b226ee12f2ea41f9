"""What a monitoring job finds: real statistics of real files, as Vertex AI reports them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud.aiplatform_v1beta1 import types

from transak_drift.drift.drift_statistics import DriftStatisticsError
from transak_drift.drift.feature_comparison import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    FeatureKind,
    FeatureStatistics,
)
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.status import invalid


@dataclass(frozen=True, slots=True)
class FeatureAnalysis:
    """One feature of a job.

    Args:
        name: its name.
        metric: the distance's name.
        distance: the distance.
        threshold: the alert condition.
        baseline: its statistics in the baseline.
        target: its statistics in the target dataset.
        rows: rows of the baseline and of the target dataset.
    """

    name: str
    metric: str
    distance: float
    threshold: float
    baseline: FeatureStatistics
    target: FeatureStatistics
    rows: tuple[int, int]

    @property
    def has_anomaly(self) -> bool:
        """Whether an alert is due."""
        return self.distance > self.threshold

    def data_point(self, job_name: str) -> types.ModelMonitoringStatsDataPoint:
        """Return the statistics as the API reports them."""
        value = types.ModelMonitoringStatsDataPoint.TypedValue
        return types.ModelMonitoringStatsDataPoint(
            current_stats=value(
                distribution_value=value.DistributionDataValue(
                    distribution=_distribution(self.name, self.target, self.rows[1]),
                    distribution_deviation=self.distance,
                )
            ),
            baseline_stats=value(
                distribution_value=value.DistributionDataValue(
                    distribution=_distribution(self.name, self.baseline, self.rows[0])
                )
            ),
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
            anomaly=types.ModelMonitoringAnomaly(
                model_monitoring_job=job_name,
                algorithm=self.metric,
                tabular_anomaly=types.ModelMonitoringAnomaly.TabularAnomaly(
                    summary=f"The {self.metric} distance {self.distance:.6g} is above the "
                    f"threshold {self.threshold:g}.",
                    trigger_time=now,
                    condition=types.ModelMonitoringAlertCondition(threshold=self.threshold),
                ),
            ),
        )


@dataclass(frozen=True, slots=True)
class JobAnalysis:
    """What a job found.

    Args:
        features: one entry for each monitored feature.
    """

    features: list[FeatureAnalysis]


def analyse_job(
    job: types.ModelMonitoringJob,
    kinds: dict[str, str],
    buckets: Buckets,
    batch_output: Callable[[str], str | None],
) -> JobAnalysis:
    """Compare the datasets of a job.

    Args:
        job: the job.
        kinds: data type by feature, as in the monitor's schema.
        buckets: the files.
        batch_output: where a batch prediction job has put its predictions.

    Returns:
        The distances, computed from the files.

    Raises:
        RefusedError: a dataset is missing, or lacks a feature.
    """
    objective = job.model_monitoring_spec.objective_spec
    drift = objective.tabular_objective.feature_drift_spec
    measured: dict[str, FeatureKind | None] = {
        name: FeatureKind.CATEGORICAL
        if kinds[name] in ("categorical", "string", "boolean")
        else FeatureKind.NUMERICAL
        for name in drift.features
    }
    thresholds = {name: drift.feature_alert_conditions[name].threshold for name in drift.features}
    try:
        baseline = scan_statistics(
            _files(objective.baseline_dataset, buckets, batch_output), measured
        )
        target = scan_statistics(_files(objective.target_dataset, buckets, batch_output), measured)
        found = compare_features(baseline, target, thresholds)
    except DriftStatisticsError as error:
        raise invalid(str(error)) from error
    return JobAnalysis(
        [
            FeatureAnalysis(
                name=item.feature,
                metric=item.metric,
                distance=item.distance,
                threshold=item.threshold,
                baseline=baseline.features[item.feature],
                target=target.features[item.feature],
                rows=(baseline.rows, target.rows),
            )
            for item in found
            if item.distance is not None
        ]
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
    files = buckets.find(uri)
    if not files:
        raise invalid(f"{uri or 'the dataset'} matches no object")
    return files


def _distribution(name: str, statistics: FeatureStatistics, rows: int) -> dict[str, Any]:
    # The JSON form of tensorflow.metadata.v0.DatasetFeatureStatistics, where 64-bit numbers are
    # text ("ProtoJSON Format").
    common = {
        "numNonMissing": str(int(statistics.present)),
        "numMissing": str(statistics.missing),
    }
    if isinstance(statistics, CategoricalStatistics):
        ranked = sorted(statistics.counts.items(), key=lambda item: (-item[1], item[0]))
        feature = {
            "name": name,
            "type": "STRING",
            "stringStats": {
                "commonStats": common,
                "unique": str(len(ranked)),
                "rankHistogram": {
                    "buckets": [
                        {
                            "lowRank": str(rank),
                            "highRank": str(rank),
                            "label": label,
                            "sampleCount": float(count),
                        }
                        for rank, (label, count) in enumerate(ranked[:1000])
                    ]
                },
            },
        }
    else:
        edges = statistics.edges
        feature = {
            "name": name,
            "type": "FLOAT",
            "numStats": {
                "commonStats": common,
                "histograms": [
                    {
                        "type": "STANDARD",
                        "buckets": [
                            {"lowValue": low, "highValue": high, "sampleCount": float(count)}
                            for low, high, count in zip(
                                edges, edges[1:], statistics.counts, strict=False
                            )
                        ],
                    }
                ],
            },
        }
    return {"numExamples": str(rows), "features": [feature]}
