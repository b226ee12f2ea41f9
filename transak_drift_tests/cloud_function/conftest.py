"""The function served for real, with a real Pub/Sub server and a loopback Vertex AI behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1.types import PipelineJob

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pipelines.compilation import compile_pipelines
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import DeadLetterMessage, TriggerQueue
from transak_drift_tests.cloud_function.deployed_archive import (
    CONFIG,
    FURTHER_CONFIG,
    unpack_archive,
)
from transak_drift_tests.cloud_function.function_server import FunctionServer, function_server
from transak_drift_tests.servers.api_rules import PARENT
from transak_drift_tests.servers.clients import apply_monitors, csv_dataset, monitored_config
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.trigger.drift_messages import drift_event

MODEL_NAME = "transak-i1-train-model"
SECOND_MODEL_NAME = "transak-i2-train-model"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a test sees of the deployed function and its surroundings.

    Both configurations share the topic, and are packed into the archive.
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

    def finished_job(
        self,
        name: str,
        distances: Mapping[str, float] | None = None,
        config: MonitoringConfig | None = None,
        rows: int = 100,
    ) -> DriftEvent:
        """Put a monitoring job there that finds distances in a file; return what it finds.

        A distance is a share of whole rows; by default that of `description` is 0.6.
        """
        config = config or self.config
        distances = distances or {"description": 0.6}
        uri = f"gs://{config.model_name}/{name}.csv"
        found = [
            {
                feature: "new" if row < round(distances.get(feature, 0) * rows) else "known"
                for feature in config.drift_thresholds
            }
            for row in range(rows)
        ]
        self.vertex.buckets.write_csv(uri, found)
        job_id = f"day-20260501-{hashlib.md5(name.encode()).hexdigest()[:12]}"
        self.vertex.monitoring.put_job(
            f"{PARENT}/modelMonitors/{config.model_monitor_id}",
            csv_dataset(uri),
            job_id=job_id,
        )
        return drift_event(job_id, distances, monitor=config.model_monitor_id)

    def jobs(self, job_id: str | None = None) -> list[PipelineJob]:
        """Return the PipelineJobs, or that of one id."""
        jobs = self.vertex.pipelines.jobs()
        return [job for job in jobs if job_id in (None, job.name.rpartition("/")[2])]

    def dead_letter(self, message_id: str) -> DeadLetterMessage | None:
        """Return the dead letter of a message, None where it was not rejected."""
        letters = self.queue.list_dead_letters(1_000)
        found = [letter for letter in letters if letter.source_message_id == message_id]
        return found[0] if found else None


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Topics, two models, a compiled training pipeline, and the function's archive."""
    directory = tmp_path_factory.mktemp("cloud_function")
    plain = monitored_config()
    template = compile_pipelines(plain, directory / "pipelines")[-1]
    config = monitored_config(
        vertex={
            "pipeline_template": str(template),
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
    configs = {CONFIG: config, FURTHER_CONFIG: second_config}
    texts = {path: item.model_dump_json(exclude_defaults=True) for path, item in configs.items()}
    unpack_archive(archive, texts)
    with (
        ensure_embedded_pubsub(directory / "pubsub", grace_seconds=1) as pubsub,
        LoopbackVertex(directory / "buckets") as vertex,
    ):
        known = dict.fromkeys(config.drift_thresholds, "known")
        vertex.buckets.write_csv("gs://transak-i1/training/1.csv", [known])
        for item, number in ((config, 1), (second_config, 2)):
            vertex.models.upload(item.model_name, artifact_uri=f"gs://transak-i{number}/models/1")
        apply_monitors(vertex.endpoint, config, second_config)
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
    with function_server(deployment.archive, log_file, deployment.environment) as server:
        yield server
