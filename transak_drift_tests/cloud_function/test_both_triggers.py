"""The same message given to the Cloud Function and to Dagster's sensor starts one PipelineJob."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from google.cloud.aiplatform_v1 import types

from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import (
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.drift.drift_event import pipeline_job_id
from transak_drift.settings import load_settings
from transak_drift_tests.cloud_function.conftest import MODEL_NAME, Deployment
from transak_drift_tests.cloud_function.function_server import FunctionServer
from transak_drift_tests.cloud_function.pubsub_events import pubsub_event
from transak_drift_tests.trigger.drift_messages import message_body

NAMES = ModelNames()

QUIET_LOG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class Dagster:
    """The project's definitions on the gcp platform, and an instance of Dagster."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def handle_messages(self) -> dg.SensorResult:
        """Do one tick of the sensor and run what it requests to the end."""
        resources = self.definitions.resources or {}
        queue = resources["trigger_queue"]
        assert isinstance(queue, TriggerQueueResource)
        context = dg.build_sensor_context(
            instance=self.instance,
            resources={"trigger_queue": queue, "platform": resources["platform"]},
        )
        result = self.definitions.resolve_sensor_def(SENSOR_NAME)(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.run_requests or []:
            outcome = self.definitions.resolve_job_def(RETRAIN_JOB).execute_in_process(
                run_config={**dict(request.run_config or {}), **QUIET_LOG},
                instance=self.instance,
                tags=dict(request.tags),
            )
            assert outcome.success
        return result

    def adopted(self) -> object:
        """Tell whether the newest training adopted a job that was there before."""
        event = self.instance.get_latest_materialization_event(NAMES.asset(TRAINED_MODEL))
        materialization = event.asset_materialization if event else None
        assert materialization is not None
        return materialization.metadata["adopted"].value


@pytest.fixture
def dagster(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dagster]:
    model = deployment.vertex.models.versions(
        "projects/123456789012/locations/europe-west6/models/1001"
    )[0]

    def upload(job: types.PipelineJob) -> None:
        deployment.vertex.models.upload(
            MODEL_NAME, parent_model=model.name, pipeline_job=job.name, is_default=False
        )

    monkeypatch.setattr(deployment.vertex.pipelines, "run", upload)
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Dagster(build_definitions(load_settings(), [deployment.config]), instance)


def test_first_the_function_then_the_sensor(
    deployment: Deployment, function: FunctionServer, dagster: Dagster
) -> None:
    before = len(deployment.jobs())
    event = deployment.finished_job("function-first")
    body = message_body(event)
    message_id = deployment.queue.publish(body)

    assert function.post(pubsub_event(body, message_id=message_id)) == 200
    result = dagster.handle_messages()

    assert [request.run_key for request in result.run_requests or []] == [event.key]
    assert dagster.adopted() is True
    assert len(deployment.jobs(pipeline_job_id("pipeline-train", event.key))) == 1
    assert len(deployment.jobs()) == before + 1


def test_first_the_sensor_then_the_function(
    deployment: Deployment, function: FunctionServer, dagster: Dagster
) -> None:
    before = len(deployment.jobs())
    event = deployment.finished_job("sensor-first")
    body = message_body(event)
    message_id = deployment.queue.publish(body)

    result = dagster.handle_messages()
    assert [request.run_key for request in result.run_requests or []] == [event.key]
    assert function.post(pubsub_event(body, message_id=message_id)) == 200

    assert dagster.adopted() is False
    assert len(deployment.jobs(pipeline_job_id("pipeline-train", event.key))) == 1
    assert len(deployment.jobs()) == before + 1
    outcomes = [e["outcome"] for e in function.log() if e.get("message_id") == message_id]
    assert outcomes == ["adopted"]


def test_both_ask_for_the_same_training(
    deployment: Deployment, function: FunctionServer, dagster: Dagster
) -> None:
    first_drift = deployment.finished_job("by-function")
    assert function.post(pubsub_event(message_body(first_drift))) == 200
    second_drift = deployment.finished_job("by-sensor")
    deployment.queue.publish(message_body(second_drift))
    dagster.handle_messages()

    by_function, by_sensor = (
        deployment.jobs(pipeline_job_id("pipeline-train", drift.key))[0]
        for drift in (first_drift, second_drift)
    )
    first, second = (
        {**dict(job.runtime_config.parameter_values), "drift_event": ""}
        for job in (by_function, by_sensor)
    )
    assert first == second
    assert by_function.pipeline_spec == by_sensor.pipeline_spec
    assert by_function.runtime_config.gcs_output_directory == (
        by_sensor.runtime_config.gcs_output_directory
    )
