"""The loopback server keeps to what Google publishes, whatever the product sends."""

from __future__ import annotations

import json

import pytest
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitors import apply_model_monitor
from transak_drift_tests.servers.pushes import Push
from transak_drift_tests.servers.server import LoopbackVertex

BASELINE = "gs://transak-i1/training/1.csv"
TARGET = "gs://transak-i1/monitored.csv"


@pytest.fixture
def foreign_job(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> str:
    """A drifted job of somebody else: it carries its target and nothing else."""
    vertex.buckets.write_csv(BASELINE, [{"description": "Coop", "type": "Card"}] * 9)
    vertex.buckets.write_csv(TARGET, [{"description": "Migros", "type": "Card"}] * 9)
    apply_model_monitor(connection, config)
    (monitor,) = vertex.monitoring.monitors()
    dataset = {"columnized_dataset": {"gcs_source": {"gcs_uri": TARGET, "format_": "CSV"}}}
    job = types.ModelMonitoringJob(
        model_monitoring_spec={"objective_spec": {"target_dataset": dataset}}
    )
    return vertex.monitoring.put_job(monitor.name, job)


def finish(connection: VertexConnection, job_name: str) -> types.ModelMonitoringJob:
    return connection.model_monitoring.get_model_monitoring_job(name=job_name)


def test_a_partial_job_is_analysed_with_what_its_monitor_says(
    vertex: LoopbackVertex, connection: VertexConnection, foreign_job: str
) -> None:
    job = finish(connection, foreign_job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.name.startswith("projects/123456789012/")
    assert len(job.name.rpartition("/")[2]) == 19
    assert "tabular_objective" not in job.model_monitoring_spec.objective_spec
    assert [item.distance for item in vertex.monitoring.analyses[job.name]] == [1.0, 0.0]
    monitor = job.name.rpartition("/modelMonitoringJobs/")[0]
    (alert,) = connection.model_monitoring.search_model_monitoring_alerts(model_monitor=monitor)
    assert alert.anomaly.tabular_anomaly.anomaly == 1.0


def test_each_push_has_the_shape_that_is_known_of_it(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    published: list[bytes],
    foreign_job: str,
) -> None:
    vertex.pushes = tuple(Push)
    vertex.sink_filter = sink_filter(config.model_monitor_id)
    finish(connection, foreign_job)
    known, unknown, channel = (json.loads(body) for body in published)
    assert vertex.log == [known, unknown]
    for entry in vertex.log:
        assert set(entry["resource"]["labels"]) == {
            "resource_container",
            "location",
            "model_monitor_id",
        }
    assert known["jsonPayload"]["modelMonitoringJob"] == foreign_job
    assert unknown["jsonPayload"]["@type"].endswith(".ModelMonitoringJobAnomaliesLogEntry")
    assert foreign_job in json.dumps(unknown)
    monitor, _, job_id = foreign_job.partition("/modelMonitoringJobs/")
    details = channel["details"]
    assert channel["subject"] == "Vertex AI Model Monitoring Job anomalies detected"
    assert details.pop("model_monitoring_job_name") == foreign_job
    assert details.pop("model_monitoring_job_url") == (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west6/model-monitors/"
        f"{monitor.rpartition('/')[2]}/model-monitoring-jobs/{job_id}?project=123456789012"
    )
    assert details.pop("model_name").endswith("/models/1001 @1")
    assert list(details) == ["model_monitoring_job_create_time"]


def test_the_sink_keeps_back_another_monitors_entries(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    published: list[bytes],
    foreign_job: str,
) -> None:
    vertex.sink_filter = sink_filter("another-monitor")
    finish(connection, foreign_job)
    assert (len(vertex.log), published) == (1, [])
