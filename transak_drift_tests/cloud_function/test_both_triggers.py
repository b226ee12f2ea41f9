"""The same message given to the Cloud Function and to Dagster's sensor starts one PipelineJob."""

from __future__ import annotations

import dagster as dg
import pytest
from google.cloud.aiplatform_v1 import types

from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import TRAINED_MODEL, ModelNames
from transak_drift.settings import load_settings
from transak_drift.vertex.training_launch import pipeline_job_id
from transak_drift_tests.cloud_function.conftest import MODEL_NAME, Deployment
from transak_drift_tests.cloud_function.function_server import FunctionServer, pubsub_event
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.trigger.drift_messages import message_body


def adopted(instance: dg.DagsterInstance) -> object:
    """Tell whether the newest training adopted a job that was there before."""
    event = instance.get_latest_materialization_event(ModelNames().asset(TRAINED_MODEL))
    materialization = event.asset_materialization if event else None
    assert materialization is not None
    return materialization.metadata["adopted"].value


@pytest.fixture
def definitions(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """The project's definitions on the gcp platform, whose training pipeline uploads a version."""
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
    return build_definitions(load_settings(), [deployment.config])


def test_whichever_comes_first_starts_the_one_training_of_a_drift(
    deployment: Deployment, function: FunctionServer, definitions: dg.Definitions
) -> None:
    before = len(deployment.jobs())
    resources = definitions.resources or {}
    used = {name: resources[name] for name in ("trigger_queue", "platform")}
    with dg.DagsterInstance.ephemeral() as instance:
        sensor = SensorTicks(instance, definitions.resolve_sensor_def(SENSOR_NAME), used)

        by_function = deployment.finished_job("function-first")
        message_id = deployment.queue.publish(message_body(by_function))
        function.deliver(pubsub_event(message_body(by_function), message_id=message_id))
        assert sensor.tick_and_train(definitions) == [by_function.key]
        assert adopted(instance) is True

        by_sensor = deployment.finished_job("sensor-first")
        message_id = deployment.queue.publish(message_body(by_sensor))
        assert sensor.tick_and_train(definitions) == [by_sensor.key]
        assert adopted(instance) is False
        entry = function.deliver(pubsub_event(message_body(by_sensor), message_id=message_id))
        assert entry["outcome"] == "adopted"

    assert len(deployment.jobs()) == before + 2
    # Both ask for the same training.
    first, second = (
        deployment.jobs(pipeline_job_id("pipeline-train", drift.key))[0]
        for drift in (by_function, by_sensor)
    )
    assert first.runtime_config == second.runtime_config
    assert first.pipeline_spec == second.pipeline_spec
