"""The function served for real, with a real Pub/Sub server and a loopback Vertex AI behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1.types import PipelineJob

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pipelines.compilation import compile_pipelines
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import DeadLetterMessage, TriggerQueue
from transak_drift_tests.cloud_function.deployed_archive import unpack_archive
from transak_drift_tests.cloud_function.function_server import FunctionServer
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.server import LoopbackVertex

MODEL_NAME = "transak-i1-train-model"
SECOND_MODEL_NAME = "transak-i2-train-model"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a test sees of the deployed function and its surroundings.

    Args:
        config: the configuration that is packed along.
        second_config: that of the second model, which shares the topic.
        archive: directory that the function is deployed from.
        vertex: Vertex AI.
        queue: the trigger topic and its dead letters.
        pubsub_endpoint: `host:port` of the Pub/Sub server.
    """

    config: MonitoringConfig
    second_config: MonitoringConfig
    archive: Path
    vertex: LoopbackVertex
    queue: TriggerQueue
    pubsub_endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """The function's environment variables, with those that lead to loopback."""
        return {
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": "monitoring_config.json",
            "TRANSAK_DRIFT_VERTEX_ENDPOINT": self.vertex.endpoint,
            "PUBSUB_EMULATOR_HOST": self.pubsub_endpoint,
        }

    def jobs(self, job_id: str | None = None) -> list[PipelineJob]:
        """Return the PipelineJobs, or that of one id."""
        jobs = self.vertex.pipelines.jobs()
        return [job for job in jobs if job_id in (None, job.name.rpartition("/")[2])]

    def dead_letter(self, message_id: str) -> DeadLetterMessage:
        """Return the dead letter of a message."""
        letters = self.queue.list_dead_letters(1_000)
        (found,) = [letter for letter in letters if letter.source_message_id == message_id]
        return found

    def is_dead_letter(self, message_id: str) -> bool:
        """Tell whether a message was rejected."""
        letters = self.queue.list_dead_letters(1_000)
        return any(letter.source_message_id == message_id for letter in letters)


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Topics, two models, a compiled training pipeline, and the function's archive."""
    directory = tmp_path_factory.mktemp("cloud_function")
    plain = monitored_config()
    template = compile_pipelines(plain, directory / "pipelines")[-1]
    config = monitored_config(
        vertex={
            "pipeline_template": str(template),
            "pipeline_root": "gs://transak-i1/pipelines",
            "pipeline_parameters": {
                "transactions": "gs://transak-i1/transactions",
                "serving_image": "europe-docker.pkg.dev/af-finanzen/serving/transak:1.0.0",
            },
        }
    )
    second_config = monitored_config(
        asset_prefix="transak_i2",
        model_name=SECOND_MODEL_NAME,
        monitoring_job_display_name="transak_i2_data_drift_monitor",
        training_pipeline="pipeline-train-i2",
        drift_thresholds={"description": 0.5, "type": 0.3},
        retrain_policy={"minimum_anomalous_features": 2},
        vertex={
            **config.vertex.model_dump(exclude_defaults=True),
            "pipeline_root": "gs://transak-i2/pipelines",
        },
    )
    archive = directory / "archive"
    unpack_archive(
        archive,
        config.model_dump_json(exclude_defaults=True),
        {"transak-i2.json": second_config.model_dump_json(exclude_defaults=True)},
    )
    with (
        ensure_embedded_pubsub(directory / "pubsub", grace_seconds=1) as pubsub,
        LoopbackVertex(directory / "buckets") as vertex,
    ):
        vertex.models.upload(MODEL_NAME, artifact_uri="gs://transak-i1/models/1")
        vertex.models.upload(SECOND_MODEL_NAME, artifact_uri="gs://transak-i2/models/1")
        queue = TriggerQueue(connect(pubsub.endpoint), config)
        queue.ensure_exists()
        yield Deployment(config, second_config, archive, vertex, queue, pubsub.endpoint)
        queue.close()


@pytest.fixture(scope="package")
def function(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionServer]:
    """The function as a process of the functions framework."""
    log_file = tmp_path_factory.mktemp("function_log") / "function.log"
    with FunctionServer(deployment.archive, log_file, deployment.environment) as server:
        yield server
