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
from transak_drift.settings import load_settings
from transak_drift.vertex.training_launch import pipeline_job_id
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

    def handle_messages(self) -> list[str | None]:
        """Do one tick of the sensor and run what it requests to the end; return the run keys."""
        resources = self.definitions.resources or {}
        with dg.build_sensor_context(
            instance=self.instance,
            resources={name: resources[name] for name in ("trigger_queue", "platform")},
        ) as context:
            result = self.definitions.resolve_sensor_def(SENSOR_NAME)(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.run_requests or []:
            outcome = self.definitions.resolve_job_def(RETRAIN_JOB).execute_in_process(
                run_config={**dict(request.run_config or {}), **QUIET_LOG},
                instance=self.instance,
                tags=dict(request.tags),
            )
            assert outcome.success
        return [request.run_key for request in result.run_requests or []]

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


def test_whichever_comes_first_starts_the_one_training_of_a_drift(
    deployment: Deployment, function: FunctionServer, dagster: Dagster
) -> None:
    before = len(deployment.jobs())

    by_function = deployment.finished_job("function-first")
    message_id = deployment.queue.publish(message_body(by_function))
    assert function.post(pubsub_event(message_body(by_function), message_id=message_id)) == 200
    assert dagster.handle_messages() == [by_function.key]
    assert dagster.adopted() is True

    by_sensor = deployment.finished_job("sensor-first")
    message_id = deployment.queue.publish(message_body(by_sensor))
    assert dagster.handle_messages() == [by_sensor.key]
    assert dagster.adopted() is False
    assert function.post(pubsub_event(message_body(by_sensor), message_id=message_id)) == 200
    outcomes = [e["outcome"] for e in function.log() if e.get("message_id") == message_id]
    assert outcomes == ["adopted"]

    assert len(deployment.jobs()) == before + 2
    # Both ask for the same training.
    first, second = (
        deployment.jobs(pipeline_job_id("pipeline-train", drift.key))[0]
        for drift in (by_function, by_sensor)
    )
    assert first.runtime_config == second.runtime_config
    assert first.pipeline_spec == second.pipeline_spec
