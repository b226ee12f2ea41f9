"""The monitoring step, run for real by KFP's local runner against a loopback Vertex AI."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from kfp import dsl

from transak_drift.pipelines.pipeline_predict import run_monitoring
from transak_drift.vertex.monitors import start_monitoring_run
from transak_drift_tests.pipelines.prediction_pipeline import PREDICTION_JOB, monitor_predictions
from transak_drift_tests.servers.clients import apply_monitors, connect, monitored_config
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.windows import day_window

DAY = date(2026, 5, 1)
CONFIG = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/predictions-{date}"})
CONFIG_TEXT = CONFIG.model_dump_json(exclude_defaults=True)


@pytest.fixture
def monitored(vertex: LoopbackVertex) -> LoopbackVertex:
    """A server with a model, its monitor, and the day's finished prediction job."""
    vertex.models.upload("transak-i1-train-model")
    vertex.batch_predictions.add(f"predictions-{DAY}", "gs://transak-i1/predictions")
    vertex.monitoring.looks = 1_000_000
    apply_monitors(vertex.endpoint, CONFIG)
    return vertex


@pytest.mark.usefixtures("local_runner")
def test_in_the_local_runner_the_step_starts_the_run_of_the_predictions(
    monitored: LoopbackVertex,
) -> None:
    monitor_predictions(monitoring_config=CONFIG_TEXT, day=str(DAY))
    (job,) = monitored.monitoring.jobs()
    assert job.name.rpartition("/")[2].startswith("day-20260501-")
    spec = job.model_monitoring_spec
    dataset = spec.objective_spec.target_dataset.batch_prediction_output
    assert dataset.batch_prediction_job == PREDICTION_JOB
    conditions = spec.objective_spec.tabular_objective.feature_drift_spec.feature_alert_conditions
    assert {name: condition.threshold for name, condition in conditions.items()} == dict(
        CONFIG.drift_thresholds
    )
    # Fire and forget: nothing asks how the run goes.
    assert not monitored.requests("GetModelMonitoringJob")


def test_dagster_and_a_repetition_find_the_run_that_was_started(
    monitored: LoopbackVertex,
) -> None:
    started = _run()
    assert _run()["monitoring_job"] == started["monitoring_job"]
    connection = connect(monitored.endpoint)

    again = start_monitoring_run(connection, CONFIG, day_window(DAY))

    connection.close()
    assert started["state"] == "started"
    assert again.job_name.rpartition("/")[2] == started["monitoring_job"].rpartition("/")[2]
    assert len(monitored.monitoring.jobs()) == 1


@pytest.mark.parametrize("day", ["2026-05", "2026-05-20"])
def test_a_window_is_named_by_its_key_or_by_one_of_its_days(
    monitored: LoopbackVertex, day: str
) -> None:
    vertex = {"prediction_dataset": "batchPredictionJobs/predictions-{date:%Y-%m}"}
    config = monitored_config(monitoring_window="month", vertex=vertex)
    outcome = _run(config.model_dump_json(exclude_defaults=True), day)
    assert outcome["state"] == "started"
    assert outcome["monitoring_job"].rpartition("/")[2].startswith("month-202605-")
    assert len(monitored.monitoring.jobs()) == 1


def test_without_a_model_the_step_succeeds_and_says_so(vertex: LoopbackVertex) -> None:
    outcome = _run()

    assert (outcome["state"], outcome["monitoring_job"]) == ("failed", "")
    assert "no model is named 'transak-i1-train-model'" in outcome["message"]
    assert vertex.monitoring.jobs() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"monitoring_config": "{"}, "is not valid JSON"),
        ({"day": "yesterday"}, "day = 'yesterday'"),
        ({"job": None}, "batch_prediction_job.resourceName = 'None'"),
        ({"job": "projects/p/models/1"}, "fix: pass on the prediction"),
    ],
)
def test_whatever_it_is_given_the_step_succeeds_and_says_so(
    monitored: LoopbackVertex, changes: dict[str, Any], told: str
) -> None:
    outcome = _run(**changes)

    assert (outcome["state"], outcome["monitoring_job"]) == ("failed", "")
    assert told in outcome["message"]
    assert "the predictions are there" in outcome["message"]
    assert monitored.monitoring.jobs() == []


def _run(
    monitoring_config: str = CONFIG_TEXT, day: str = str(DAY), job: str | None = PREDICTION_JOB
) -> dict[str, str]:
    prediction = dsl.Artifact(metadata={"resourceName": job} if job else {})
    outcome = run_monitoring(monitoring_config, day, prediction)
    return dict(zip(("state", "monitoring_job", "message"), outcome, strict=True))
