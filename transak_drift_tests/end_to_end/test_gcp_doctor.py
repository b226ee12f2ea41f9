"""`transak-drift doctor` finds each thing that is missing by itself, and writes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.aiplatform_v1beta1 import types as beta_types
from google.pubsub_v1 import types
from typer.testing import CliRunner

from transak_drift.cli.main import app
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.platform import PlatformError
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift.vertex.monitors import apply_model_monitor
from transak_drift_tests.servers.clients import connect, monitored_config
from transak_drift_tests.servers.google_apis_server import LoopbackGoogleApis
from transak_drift_tests.servers.pubsub_admin import LoopbackPubSubAdmin
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY

TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
WRITER = "serviceAccount:p123456789012-1@gcp-sa-logging.iam.gserviceaccount.com"
TARGET = "gs://transak-i1/predictions/today.csv"
READ_ONLY = ("Get", "List", "Search")
NUMBER = "123456789012"
NOTIFIER = f"serviceAccount:service-{NUMBER}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
MONITORING_AGENT = f"serviceAccount:service-{NUMBER}@gcp-sa-vertex-mm.iam.gserviceaccount.com"
CHANNEL = "projects/af-finanzen/notificationChannels/1"
BUCKET = "af-monitoring"
ENTRY = {**DRIFT_ENTRY, "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}


@dataclass(slots=True)
class Cloud:
    """A project in which everything is as it should be, until a test breaks it."""

    config: MonitoringConfig
    config_file: Path
    vertex: LoopbackVertex
    pubsub: LoopbackPubSubAdmin
    apis: LoopbackGoogleApis

    def configure(self, **changes: Any) -> None:
        document = self.config.model_dump(mode="json", exclude_none=True)
        self.config_file.write_text(json.dumps({**document, **changes}))

    def put_job(self, job_id: str, uri: str = TARGET) -> None:
        source = {"gcs_source": {"gcs_uri": uri, "format_": "CSV"}}
        objective = {"target_dataset": {"columnized_dataset": source}}
        job = beta_types.ModelMonitoringJob(model_monitoring_spec={"objective_spec": objective})
        monitor = self.vertex.monitoring.monitors()[0].name
        self.vertex.monitoring.put_job(monitor, job, job_id=job_id)

    @property
    def topic(self) -> str:
        return topic_name(self.config.project_id, self.config.trigger_topic)

    @property
    def subscription(self) -> str:
        return subscription_name(self.config.project_id, self.config.trigger_subscription)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    config = monitored_config(
        vertex={
            "pipeline_template": str(TEMPLATE),
            "pipeline_root": "gs://transak-i1/pipelines",
            "monitoring_output": f"gs://{BUCKET}/drift",
        }
    )
    config_file = tmp_path / "monitoring_config.json"
    with (
        LoopbackVertex(tmp_path / "buckets") as vertex,
        LoopbackStorage(vertex.buckets) as storage,
        LoopbackPubSubAdmin() as pubsub,
        LoopbackGoogleApis() as apis,
    ):
        cloud = Cloud(config, config_file, vertex, pubsub, apis)
        cloud.configure()
        vertex.models.upload(config.model_name)
        known, new = ({"type": kind, "description": kind} for kind in ("known", "new"))
        vertex.buckets.write_csv("gs://transak-i1/training/1.csv", [known])
        vertex.buckets.write_csv(TARGET, [known, new])
        connection = connect(vertex.endpoint)
        channels = {"notification_channels": (CHANNEL,)}
        apply_model_monitor(connection, config.model_copy(update=channels))
        connection.close()
        cloud.put_job("job-1")
        vertex.recorder.clear()
        dead_letters = topic_name(config.project_id, config.dead_letter_topic)
        pubsub.topics |= {cloud.topic, dead_letters}
        pubsub.subscriptions[cloud.subscription] = types.Subscription(
            name=cloud.subscription,
            topic=cloud.topic,
            dead_letter_policy=types.DeadLetterPolicy(dead_letter_topic=dead_letters),
        )
        name = subscription_name(config.project_id, config.dead_letter_subscription)
        pubsub.subscriptions[name] = types.Subscription(name=name, topic=dead_letters)
        pubsub.publishers[cloud.topic] = {WRITER, NOTIFIER}
        apis.channels[CHANNEL] = {"type": "pubsub", "labels": {"topic": cloud.topic}}
        apis.writers[BUCKET] = {MONITORING_AGENT}
        # What finished jobs log, as the loopback Vertex AI writes it.
        apis.entries = vertex.log
        apis.sinks += [
            {"name": "_Default", "destination": "logging.googleapis.com/x"},
            {
                "name": "anomalies",
                "destination": f"pubsub.googleapis.com/{cloud.topic}",
                "writerIdentity": WRITER,
                # As Terraform's provider sends it back.
                "filter": "\r\n".join(_filter_of(config).splitlines()) + "\n\n",
            },
        ]
        for variable, value in {
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": str(config_file),
            "TRANSAK_DRIFT_VERTEX_ENDPOINT": vertex.endpoint,
            "TRANSAK_DRIFT_GOOGLE_APIS_URL": apis.url,
            "TRANSAK_DRIFT_TRIGGER_CHANNELS": json.dumps({config.trigger_topic: CHANNEL}),
            "PUBSUB_EMULATOR_HOST": pubsub.endpoint,
            "STORAGE_EMULATOR_HOST": storage.url,
        }.items():
            monkeypatch.setenv(variable, value)
        yield cloud


def _filter_of(config: MonitoringConfig) -> str:
    return sink_filter(config.model_monitor_id, config.further_model_monitor_ids)


def run_doctor() -> tuple[int, dict[str, dict[str, str]]]:
    outcome = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    return outcome.exit_code, {item["name"]: item for item in json.loads(outcome.stdout)}


def test_where_everything_agrees_nothing_is_open_and_nothing_is_written(cloud: Cloud) -> None:
    status, checks = run_doctor()
    assert (status, [p for p, item in checks.items() if item["state"] != "ok"]) == (0, [])
    assert len(checks) == 21
    assert checks["project number"]["detail"] == f"af-finanzen is {NUMBER}"
    assert "has the alias default" in checks["model"]["detail"]
    assert "of version 1" in checks["monitors of the versions"]["detail"]
    assert "job-1: drift: " in checks["newest monitoring jobs"]["detail"]
    assert all(call.method.startswith(READ_ONLY) for call in cloud.vertex.recorder.calls())
    assert cloud.vertex.pipelines.jobs() == []
    assert {method for method, _ in cloud.apis.methods} == {"GET", "POST"}
    posted = [path for method, path in cloud.apis.methods if method == "POST"]
    assert set(posted) == {"/v1/projects/af-finanzen:testIamPermissions", "/v2/entries:list"}
    called = {call.method for call in cloud.pubsub.recorder.calls()}
    assert called == {"GetTopic", "GetSubscription", "GetIamPolicy", "TestIamPermissions"}


def test_the_newest_entry_is_shown_as_it_stands_in_the_log(cloud: Cloud) -> None:
    _, checks = run_doctor()
    found = checks["log entries"]
    assert found["detail"] == f"1 pass the filter and name {cloud.config.model_monitor_id}/job-1"
    assert json.loads(found["example"]) == cloud.vertex.log[0]


def test_the_table_names_each_check_and_ends_with_the_verdict(cloud: Cloud) -> None:
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "everything exists and agrees" in outcome.stdout
    assert '"insertId": "job-1-' in outcome.stdout
    cloud.pubsub.topics.clear()
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 1
    assert "2 open" in outcome.stdout


def test_where_the_function_is_the_trigger_nothing_is_pulled(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_TRIGGER", "cloud_function")
    _no_subscription(cloud)
    assert run_doctor()[0] == 0


def test_without_a_channel_the_sink_is_enough(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_TRIGGER_CHANNELS", "")
    cloud.pubsub.publishers[cloud.topic].remove(NOTIFIER)
    cloud.configure(notification_channels=[CHANNEL])
    status, checks = run_doctor()
    assert status == 0
    assert "the log sink alone" in checks["notification channel"]["detail"]


def test_sinks_of_models_that_share_the_topic_are_no_fault(cloud: Cloud) -> None:
    other = {**cloud.apis.sinks[1], "name": "i2", "filter": sink_filter("transak-i2-monitor")}
    cloud.apis.sinks.append(other)
    assert run_doctor()[0] == 0


def _no_model(cloud: Cloud) -> None:
    cloud.configure(model_name="nobody")


def _changed_threshold(cloud: Cloud) -> None:
    cloud.configure(drift_thresholds={"description": 0.1, "type": 0.3})


def _other_alias(cloud: Cloud) -> None:
    cloud.configure(model_alias="production")


def _other_number(cloud: Cloud) -> None:
    cloud.configure(project_number="42")


def _may_not_read_the_project(cloud: Cloud) -> None:
    cloud.apis.denied.add("/v1/projects/af-finanzen")


def _two_monitors(cloud: Cloud) -> None:
    twin = beta_types.ModelMonitor(cloud.vertex.monitoring.monitors()[0])
    cloud.vertex.monitoring.put_monitor(twin)


def _monitor_of_another_version(cloud: Cloud) -> None:
    twin = beta_types.ModelMonitor(cloud.vertex.monitoring.monitors()[0])
    twin.model_monitoring_target.vertex_model.model_version_id = "0"
    cloud.vertex.monitoring.put_monitor(twin, "by-hand")


def _failed_job(cloud: Cloud) -> None:
    cloud.put_job("job-2", "gs://transak-i1/predictions/missing.csv")


def _nothing_logged(cloud: Cloud) -> None:
    cloud.vertex.pushes = ()


def _entry_without_the_label(cloud: Cloud) -> None:
    cloud.apis.entries = [copy.deepcopy(ENTRY)]
    labels = cloud.apis.entries[0]["resource"]["labels"]
    labels["model_monitor"] = labels.pop("model_monitor_id")


def _entry_without_a_job(cloud: Cloud) -> None:
    cloud.apis.entries = [{**ENTRY, "jsonPayload": {"message": "anomalies"}}]


def _may_not_read_the_log(cloud: Cloud) -> None:
    cloud.apis.denied.add("entries:list")


def _email_channel(cloud: Cloud) -> None:
    cloud.apis.channels[CHANNEL] = {"type": "email", "labels": {}}


def _channel_of_another_topic(cloud: Cloud) -> None:
    cloud.apis.channels[CHANNEL]["labels"] = {"topic": "projects/af-finanzen/topics/other"}


def _no_channel(cloud: Cloud) -> None:
    cloud.apis.channels.clear()


def _channel_may_not_publish(cloud: Cloud) -> None:
    cloud.pubsub.publishers[cloud.topic].remove(NOTIFIER)


def _agent_may_not_write(cloud: Cloud) -> None:
    cloud.apis.writers[BUCKET].clear()


def _no_bucket(cloud: Cloud) -> None:
    cloud.apis.writers.clear()


def _no_monitor(cloud: Cloud) -> None:
    cloud.vertex.monitoring.delete_monitors()


def _no_template(cloud: Cloud) -> None:
    cloud.configure(vertex={**cloud.config.vertex.model_dump(), "pipeline_template": "no.yaml"})


def _unknown_parameter(cloud: Cloud) -> None:
    section = {**cloud.config.vertex.model_dump(), "pipeline_parameters": {"epoch": 1}}
    cloud.configure(vertex=section)


def _no_baseline(cloud: Cloud) -> None:
    cloud.vertex.buckets.path("gs://transak-i1/training/1.csv").unlink()


def _no_sink(cloud: Cloud) -> None:
    del cloud.apis.sinks[1]


def _other_filter(cloud: Cloud) -> None:
    cloud.apis.sinks[1]["filter"] = 'severity >= "WARNING"'


def _disabled_sink(cloud: Cloud) -> None:
    cloud.apis.sinks[1]["disabled"] = True


def _two_sinks(cloud: Cloud) -> None:
    cloud.apis.sinks.append({**cloud.apis.sinks[1], "name": "twice"})


def _writer_may_not(cloud: Cloud) -> None:
    cloud.pubsub.publishers.clear()


def _no_topic(cloud: Cloud) -> None:
    cloud.pubsub.topics.remove(cloud.topic)


def _no_subscription(cloud: Cloud) -> None:
    del cloud.pubsub.subscriptions[cloud.subscription]


def _subscription_of_another_topic(cloud: Cloud) -> None:
    cloud.pubsub.subscriptions[cloud.subscription].topic = "projects/af-finanzen/topics/other"


def _no_dead_letters(cloud: Cloud) -> None:
    cloud.pubsub.subscriptions[cloud.subscription].dead_letter_policy = types.DeadLetterPolicy()


def _pushing_subscription(cloud: Cloud) -> None:
    cloud.pubsub.subscriptions[cloud.subscription].push_config.push_endpoint = "https://x.example"


def _may_not_pull(cloud: Cloud) -> None:
    cloud.pubsub.permissions.remove("pubsub.subscriptions.consume")


def _may_not_update(cloud: Cloud) -> None:
    cloud.apis.missing.add("aiplatform.modelMonitors.update")


def _may_not_list_sinks(cloud: Cloud) -> None:
    cloud.apis.denied.add("/sinks")


def _may_not_read_the_monitor(cloud: Cloud) -> None:
    cloud.vertex.faults.refuse("ListModelMonitors", grpc.StatusCode.PERMISSION_DENIED, 1, "No.")


@pytest.mark.parametrize(
    ("break_it", "name", "state", "detail", "fix"),
    [
        (_no_model, "model", "missing", "no model is named 'nobody'", "upload the model"),
        (_other_alias, "model", "missing", "the alias 'production'", "model_alias"),
        (
            _other_number,
            "project number",
            "missing",
            f"is 42, but af-finanzen is {NUMBER}",
            "correct",
        ),
        (_may_not_read_the_project, "project number", "unknown", "permission", "projects.get"),
        (_two_monitors, "monitors of the versions", "missing", "has 2 monitors", "delete all but"),
        (
            _monitor_of_another_version,
            "monitors of the versions",
            "missing",
            "holds back by-hand",
            "further_model_monitor_ids",
        ),
        (_failed_job, "newest monitoring jobs", "missing", "job-2: rejected", "correct what"),
        (_nothing_logged, "log entries", "missing", "job-1 found drift", "log_anomalies"),
        (_entry_without_the_label, "log entries", "missing", "filter holds back", "shape"),
        (_entry_without_a_job, "log entries", "missing", "no_monitoring_job", "shape"),
        (_may_not_read_the_log, "log entries", "unknown", "permission", "roles/logging.viewer"),
        (_email_channel, "notification channel", "missing", "email, not pubsub", "terraform apply"),
        (_channel_of_another_topic, "notification channel", "missing", "topics/other", "terraform"),
        (_no_channel, "notification channel", "unknown", "no such path", "terraform apply"),
        (
            _channel_may_not_publish,
            "IAM of the notification channel",
            "missing",
            NOTIFIER,
            "roles/pubsub.publisher",
        ),
        (
            _agent_may_not_write,
            "IAM on the monitoring output",
            "missing",
            MONITORING_AGENT,
            "roles/storage.objectUser",
        ),
        (
            _no_bucket,
            "IAM on the monitoring output",
            "unknown",
            "no such path",
            "create the bucket",
        ),
        (
            _no_monitor,
            "model monitor",
            "missing",
            "no ModelMonitor of",
            "materialize model_monitor",
        ),
        (
            _changed_threshold,
            "model monitor",
            "missing",
            "tabular_objective.thresholds.description is 0.3, not 0.1",
            "materialize model_monitor",
        ),
        (
            _may_not_read_the_monitor,
            "model monitor",
            "missing",
            "grant roles/aiplatform.viewer",
            "fix what was found",
        ),
        (_no_template, "training pipeline", "missing", "'no.yaml' cannot be read", "fix what"),
        (_unknown_parameter, "training pipeline", "missing", "epoch is no parameter", "fix what"),
        (_no_baseline, "baseline dataset", "missing", "matches no object", "write the data"),
        (_no_sink, "log sink", "missing", "no sink writes to", "terraform apply"),
        (_other_filter, "log sink", "missing", "is not the one of monitor", "terraform apply"),
        (_disabled_sink, "log sink", "missing", "is disabled", "enable it"),
        (_two_sinks, "log sink", "missing", "more than once", "delete all but one"),
        (_may_not_list_sinks, "log sink", "unknown", "permission", "roles/logging.viewer"),
        (_writer_may_not, "IAM of the log sink", "missing", WRITER, "roles/pubsub.publisher"),
        (_no_topic, "trigger topic", "missing", "does not exist", "terraform apply"),
        (_no_subscription, "trigger subscription", "missing", "does not exist", "terraform apply"),
        (
            _subscription_of_another_topic,
            "trigger subscription",
            "missing",
            "it is of projects/af-finanzen/topics/other",
            "terraform apply",
        ),
        (_no_dead_letters, "trigger subscription", "missing", "go nowhere", "terraform apply"),
        (_pushing_subscription, "trigger subscription", "missing", "it pushes", "terraform apply"),
        (
            _may_not_pull,
            "IAM on the trigger subscription",
            "missing",
            "pubsub.subscriptions.consume",
            "roles/pubsub.subscriber",
        ),
        (
            _may_not_update,
            "IAM on Vertex AI",
            "missing",
            "aiplatform.modelMonitors.update",
            "roles/aiplatform.user",
        ),
    ],
)
def test_whatever_is_missing_is_found_with_its_fix(
    cloud: Cloud,
    break_it: Callable[[Cloud], None],
    name: str,
    state: str,
    detail: str,
    fix: str,
) -> None:
    break_it(cloud)
    status, checks = run_doctor()
    assert status == 1
    found = checks[name]
    assert found["state"] == state
    assert detail in found["detail"]
    assert fix in found["fix"]


def test_a_service_that_is_away_for_a_moment_is_asked_again(cloud: Cloud) -> None:
    cloud.apis.failures = 1
    assert run_doctor()[0] == 0


def test_the_local_platform_has_nothing_to_check(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_PLATFORM", "local")
    with pytest.raises(PlatformError, match="TRANSAK_DRIFT_PLATFORM=gcp"):
        CliRunner().invoke(app, ["doctor"], catch_exceptions=False)


def test_a_url_of_another_machine_is_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_GOOGLE_APIS_URL", "http://collector.example.com")
    with pytest.raises(PlatformError, match="is not of this machine"):
        CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
