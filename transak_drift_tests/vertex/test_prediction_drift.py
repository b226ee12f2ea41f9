"""Drift of predictions, default thresholds and the metric of categories, as Vertex AI is asked."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.aiplatform_v1beta1 import types
from scipy.spatial.distance import jensenshannon

from transak_drift.drift.monitoring_job import JobState
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift_tests.servers.clients import csv_dataset, monitored_config, rows
from transak_drift_tests.vertex.conftest import BASELINE, CONFIG, TARGET, Cloud, described

PREDICTED = {"column": "predicted_category", "threshold": 0.2}
WITH_PREDICTIONS = monitored_config(prediction_drift=PREDICTED)


def predicted_rows(coop: int, food: int) -> list[dict[str, object]]:
    return [
        {**row, "predicted_category": "food" if number < food else "travel"}
        for number, row in enumerate(rows(coop=coop))
    ]


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """A server where the features are quiet, and what the model answers has shifted."""
    cloud.buckets.write_csv(BASELINE, predicted_rows(coop=50, food=50))
    cloud.buckets.write_csv(TARGET, predicted_rows(coop=55, food=90))
    return cloud


def only_job(cloud: Cloud) -> types.ModelMonitoringJob:
    (job,) = cloud.monitoring.jobs()
    return job


def by_column(result: MonitoringResult) -> dict[str, tuple[object, ...]]:
    return {
        item.feature: (item.objective, item.distance, item.threshold, item.drifted)
        for item in result.features
    }


def test_the_monitor_and_its_jobs_ask_for_output_drift(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    applied = cloud.platform.apply_model_monitor(WITH_PREDICTIONS)
    changed = {change.path.partition(".")[0] for change in applied.changes}
    assert changed == {"model_monitoring_schema", "tabular_objective"}
    assert cloud.platform.apply_model_monitor(WITH_PREDICTIONS).changes == ()
    result = cloud.monitor_day(WITH_PREDICTIONS)

    (monitor,) = cloud.monitoring.monitors()
    spec = described(only_job(cloud).model_monitoring_spec.objective_spec.tabular_objective)
    assert spec == described(monitor.tabular_objective)
    assert spec["prediction_output_drift_spec"] == {
        "features": ["predicted_category"],
        "categorical_metric_type": "l_infinity",
        "numeric_metric_type": "jensen_shannon_divergence",
        "feature_alert_conditions": {"predicted_category": {"threshold": 0.2}},
    }
    assert described(monitor.model_monitoring_schema)["prediction_fields"] == [
        {"name": "predicted_category", "data_type": "categorical"}
    ]
    assert by_column(result) == {
        "description": ("feature", pytest.approx(0.05), 0.3, False),
        "type": ("feature", 0.0, 0.3, False),
        "predicted_category": ("prediction", pytest.approx(0.4), 0.2, True),
    }
    assert {item.feature for item in result.quality} == {"description", "type"}
    assert 0 < (result.features[-1].by_chance or 0) < 0.2
    top = result.features[-1].contributors[0]
    assert (top.value, top.baseline_share, top.target_share) == ("food", 0.5, 0.9)
    assert [alert.partition(":")[0] for alert in result.alerts] == ["predicted_category"]


def test_without_the_key_again_the_monitor_compares_no_predictions(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(WITH_PREDICTIONS)
    applied = cloud.platform.apply_model_monitor(CONFIG)
    assert {change.after for change in applied.changes} == {None}
    (monitor,) = cloud.monitoring.monitors()
    assert set(described(monitor.tabular_objective)) == {"feature_drift_spec"}
    assert set(described(monitor.model_monitoring_schema)) == {"feature_fields"}
    assert cloud.platform.apply_model_monitor(CONFIG).changes == ()


def test_predictions_alone_name_no_feature(cloud: Cloud) -> None:
    config = monitored_config(
        drift_thresholds={},
        prediction_drift=PREDICTED,
        retrain_policy={"objectives": ["prediction"]},
    )
    result = cloud.monitor_day(config)
    objective = only_job(cloud).model_monitoring_spec.objective_spec.tabular_objective
    # A specification without names would compare every feature.
    assert "feature_drift_spec" not in objective
    assert [(f.feature, f.objective) for f in result.features] == [
        ("predicted_category", "prediction")
    ]
    assert (result.baseline_rows, result.target_rows) == (100, 100)


def test_without_the_key_nothing_is_asked_of_predictions(cloud: Cloud) -> None:
    result = cloud.monitor_day(CONFIG)
    assert {item.objective for item in result.features} == {"feature"}
    asked = {
        call.request.objective_type
        for call in cloud.calls
        if call.method == "SearchModelMonitoringAlerts"
    }
    assert asked == {"raw-feature-drift"}
    # A job from before the key was set compared no predictions.
    name = cloud.monitoring.jobs()[0].name
    later = cloud.platform.read_monitoring_job(WITH_PREDICTIONS, *name.split("/")[5::2])
    assert later.result is not None
    assert {item.objective for item in later.result.features} == {"feature"}


def test_a_job_of_others_has_the_predictions_of_its_monitor(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(WITH_PREDICTIONS)
    (monitor,) = cloud.monitoring.monitors()
    name = cloud.monitoring.put_job(monitor.name, csv_dataset(TARGET))
    job = cloud.platform.read_monitoring_job(WITH_PREDICTIONS, *name.split("/")[5::2])
    assert job.state == JobState.SUCCEEDED
    assert job.result is not None
    assert [item.feature for item in job.result.drifted] == ["predicted_category"]
    # Where nothing is reported, both are named by the monitor.
    cloud.monitoring.analyses[name] = []
    job = cloud.platform.read_monitoring_job(WITH_PREDICTIONS, *name.split("/")[5::2])
    assert job.result is not None
    assert by_column(job.result) == {
        "description": ("feature", None, 0.3, False),
        "type": ("feature", None, 0.3, False),
        "predicted_category": ("prediction", None, 0.2, False),
    }


def test_another_monitor_may_take_our_prediction_for_a_feature(cloud: Cloud) -> None:
    fields: list[dict[str, Any]] = [
        {"name": name, "data_type": "string"} for name in ("type", "predicted_category")
    ]
    drift = {"default_categorical_alert_condition": {"threshold": 0.1}}
    name = cloud.monitoring.put_job(
        cloud.monitoring.put_monitor(
            "projects/123456789012/locations/europe-west6/models/1001",
            training_dataset=csv_dataset(BASELINE),
            tabular_objective={"feature_drift_spec": drift},
            model_monitoring_schema={"feature_fields": fields},
        ),
        csv_dataset(TARGET),
    )
    job = cloud.platform.read_monitoring_job(WITH_PREDICTIONS, *name.split("/")[5::2])
    assert job.result is not None
    assert [item.feature for item in job.result.features] == ["type"]


def test_the_default_conditions_are_sent_beside_those_of_each_feature(cloud: Cloud) -> None:
    config = monitored_config(
        drift_thresholds={"type": 0.4},
        feature_types={"description": "categorical", "amount": "numerical"},
        default_drift_thresholds={"categorical": 0.3, "numerical": 0.1},
    )
    result = cloud.monitor_day(config)
    tabular = only_job(cloud).model_monitoring_spec.objective_spec.tabular_objective
    spec = described(tabular)["feature_drift_spec"]
    assert spec["default_categorical_alert_condition"] == {"threshold": 0.3}
    assert spec["default_numeric_alert_condition"] == {"threshold": 0.1}
    assert {name: item["threshold"] for name, item in spec["feature_alert_conditions"].items()} == {
        "type": 0.4,
        "description": 0.3,
        "amount": 0.1,
    }
    assert {item.feature: item.threshold for item in result.features} == config.drift_thresholds


def test_the_metric_of_categories_is_the_configured_one(cloud: Cloud) -> None:
    metric = "jensen_shannon_divergence"
    config = monitored_config(prediction_drift=PREDICTED, categorical_metric=metric)
    result = cloud.monitor_day(config)
    assert {item.metric for item in result.features} == {metric}
    expected = jensenshannon([0.5, 0.5], [0.9, 0.1], base=2) ** 2
    assert result.features[-1].distance == pytest.approx(expected, abs=1e-9)
    expected = jensenshannon([0.5, 0.5], [0.55, 0.45], base=2) ** 2
    assert result.features[0].distance == pytest.approx(expected, abs=1e-9)
    objective = only_job(cloud).model_monitoring_spec.objective_spec.tabular_objective
    assert objective.feature_drift_spec.categorical_metric_type == metric
    assert objective.prediction_output_drift_spec.categorical_metric_type == metric
