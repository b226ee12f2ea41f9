"""The loopback server keeps to what Google publishes, whatever the product sends."""

from __future__ import annotations

import json

from google.cloud.aiplatform_v1beta1 import types

from transak_drift.trigger.sink_filter import sink_filter
from transak_drift_tests.servers.pushes import Push
from transak_drift_tests.vertex.conftest import CONFIG, TARGET, Cloud, csv_dataset


def finish_foreign_job(cloud: Cloud) -> str:
    """Let a drifted job of somebody else, which carries its target alone, end."""
    cloud.platform.apply_model_monitor(CONFIG)
    (monitor,) = cloud.monitoring.monitors()
    spec = {"objective_spec": {"target_dataset": csv_dataset(TARGET)}}
    name = cloud.monitoring.put_job(
        monitor.name, types.ModelMonitoringJob(model_monitoring_spec=spec)
    )
    cloud.platform.connection.model_monitoring.get_model_monitoring_job(name=name)
    return name


def test_each_push_has_the_shape_that_is_known_of_it(cloud: Cloud) -> None:
    cloud.pushes = tuple(Push)
    cloud.sink_filter = sink_filter(CONFIG.model_monitor_id)
    job_name = finish_foreign_job(cloud)
    known, unknown, channel = (json.loads(body) for body in cloud.published)
    assert cloud.log == [known, unknown]
    for entry in cloud.log:
        labels = set(entry["resource"]["labels"])
        assert labels == {"resource_container", "location", "model_monitor_id"}
    assert known["jsonPayload"]["modelMonitoringJob"] == job_name
    assert unknown["jsonPayload"]["@type"].endswith(".ModelMonitoringJobAnomaliesLogEntry")
    assert job_name in json.dumps(unknown)
    monitor, _, job_id = job_name.partition("/modelMonitoringJobs/")
    details = channel["details"]
    assert channel["subject"] == "Vertex AI Model Monitoring Job anomalies detected"
    assert details.pop("model_monitoring_job_name") == job_name
    assert details.pop("model_monitoring_job_url") == (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west6/model-monitors/"
        f"{monitor.rpartition('/')[2]}/model-monitoring-jobs/{job_id}?project=123456789012"
    )
    assert details.pop("model_name").endswith("/models/1001 @1")
    assert list(details) == ["model_monitoring_job_create_time"]


def test_the_sink_keeps_back_another_monitors_entries(cloud: Cloud) -> None:
    cloud.sink_filter = sink_filter("another-monitor")
    finish_foreign_job(cloud)
    assert (len(cloud.log), cloud.published) == (1, [])
