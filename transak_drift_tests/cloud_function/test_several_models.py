"""Two models share the topic: the served function trains the one that a message names."""

from __future__ import annotations

from typing import Any

from cloudevents.http import CloudEvent
from google.cloud.aiplatform_v1.types import PipelineJob

from transak_drift.config.monitoring_config import parse_config
from transak_drift.drift.drift_event import pipeline_job_id
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.function_server import FunctionServer
from transak_drift_tests.cloud_function.pubsub_events import pubsub_event
from transak_drift_tests.trigger.drift_messages import drift_event, message_body

TAKEN = 200
BOTH_DRIFT = {"description": 0.6, "type": 0.5}


def entry_of(function: FunctionServer, event: CloudEvent) -> dict[str, Any]:
    (entry,) = [entry for entry in function.log() if entry.get("message_id") == event["id"]]
    return entry


def new_jobs(deployment: Deployment, before: list[PipelineJob]) -> list[str]:
    known = {job.name for job in before}
    return [job.name.rpartition("/")[2] for job in deployment.jobs() if job.name not in known]


def test_drift_of_the_second_model_trains_it_alone(
    function: FunctionServer, deployment: Deployment
) -> None:
    before = deployment.jobs()
    drift = deployment.finished_job("second-drifts", BOTH_DRIFT, deployment.second_config)
    event = pubsub_event(message_body(drift))

    assert function.post(event) == TAKEN

    job_id = pipeline_job_id("pipeline-train-i2", drift.key)
    assert new_jobs(deployment, before) == [job_id]
    (job,) = deployment.jobs(job_id)
    parameters = dict(job.runtime_config.parameter_values)
    assert parameters["champion_uri"] == "gs://transak-i2/models/1"
    assert parse_config(parameters["monitoring_config"], "test") == deployment.second_config
    assert job.runtime_config.gcs_output_directory.startswith("gs://transak-i2/")
    entry = entry_of(function, event)
    assert entry["outcome"] == "launched"
    assert entry["model_monitor"] == "transak-i2-data-drift-monitor"


def test_each_model_is_held_against_its_own_thresholds(
    function: FunctionServer, deployment: Deployment
) -> None:
    between = {"description": 0.4}
    of_first = pubsub_event(message_body(deployment.finished_job("between", between)))
    of_second = pubsub_event(
        message_body(deployment.finished_job("between", between, deployment.second_config))
    )

    assert [function.post(event) for event in (of_first, of_second)] == [TAKEN, TAKEN]

    assert entry_of(function, of_first)["outcome"] == "launched"
    assert entry_of(function, of_second)["outcome"] == "not_drift"


def test_each_model_is_held_back_by_its_own_policy(
    function: FunctionServer, deployment: Deployment
) -> None:
    one_feature = {"description": 0.6}
    of_first = pubsub_event(message_body(deployment.finished_job("alone", one_feature)))
    of_second = pubsub_event(
        message_body(deployment.finished_job("alone", one_feature, deployment.second_config))
    )

    assert [function.post(event) for event in (of_first, of_second)] == [TAKEN, TAKEN]

    assert entry_of(function, of_first)["outcome"] == "launched"
    held = entry_of(function, of_second)
    assert held["outcome"] == "held"
    assert held["severity"] == "WARNING"
    assert "the policy asks for 2" in held["message"]
    assert not deployment.is_dead_letter(of_second["id"])


def test_a_third_monitor_is_nobody_s(function: FunctionServer, deployment: Deployment) -> None:
    before = deployment.jobs()
    drift = drift_event("third", monitor="transak-i3-data-drift-monitor")
    event = pubsub_event(message_body(drift))

    assert function.post(event) == TAKEN

    letter = deployment.dead_letter(event["id"])
    assert letter.reason == "other_monitor"
    assert "transak-i1-data-drift-monitor or transak-i2-data-drift-monitor" in letter.detail
    assert new_jobs(deployment, before) == []
