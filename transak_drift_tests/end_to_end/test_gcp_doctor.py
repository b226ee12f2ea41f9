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
CONSUME = "pubsub.subscriptions.consume"
OTHER_TOPIC = "projects/af-finanzen/topics/other"
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

    def configure_vertex(self, **changes: Any) -> None:
        self.configure(vertex={**self.config.vertex.model_dump(), **changes})

    def copy_monitor(self, monitor_id: str | None = None, version: str = "1") -> None:
        monitor = beta_types.ModelMonitor(self.vertex.monitoring.monitors()[0])
        monitor.model_monitoring_target.vertex_model.model_version_id = version
        self.vertex.monitoring.put_monitor(monitor, monitor_id)

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
    entries = checks["log entries"]
    assert entries["detail"] == f"1 pass the filter and name {cloud.config.model_monitor_id}/job-1"
    assert json.loads(entries["example"]) == cloud.vertex.log[0]
    assert all(call.method.startswith(READ_ONLY) for call in cloud.vertex.recorder.calls())
    assert cloud.vertex.pipelines.jobs() == []
    assert {method for method, _ in cloud.apis.methods} == {"GET", "POST"}
    posted = [path for method, path in cloud.apis.methods if method == "POST"]
    assert set(posted) == {"/v1/projects/af-finanzen:testIamPermissions", "/v2/entries:list"}
    called = {call.method for call in cloud.pubsub.recorder.calls()}
    assert called == {"GetTopic", "GetSubscription", "GetIamPolicy", "TestIamPermissions"}


def test_the_table_names_each_check_and_ends_with_the_verdict(cloud: Cloud) -> None:
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "everything exists and agrees" in outcome.stdout
    assert '"insertId": "job-1-' in outcome.stdout
    cloud.pubsub.topics.clear()
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 1
    assert "2 open" in outcome.stdout


def test_what_may_be_so_is_no_fault(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    other_model = {"name": "i2", "filter": sink_filter("transak-i2-monitor")}
    cloud.apis.sinks.append({**cloud.apis.sinks[1], **other_model})
    cloud.apis.failures = 1
    assert run_doctor()[0] == 0
    # The function needs no subscription of its own, and the sink is enough without a channel.
    monkeypatch.setenv("TRANSAK_DRIFT_TRIGGER", "cloud_function")
    del cloud.pubsub.subscriptions[cloud.subscription]
    monkeypatch.setenv("TRANSAK_DRIFT_TRIGGER_CHANNELS", "")
    cloud.pubsub.publishers[cloud.topic].remove(NOTIFIER)
    cloud.configure(notification_channels=[CHANNEL])
    status, checks = run_doctor()
    assert status == 0
    assert "the log sink alone" in checks["notification channel"]["detail"]


Break = Callable[[Cloud], object]


def configured(**changes: Any) -> Break:
    return lambda cloud: cloud.configure(**changes)


def denied(path: str) -> Break:
    return lambda cloud: cloud.apis.denied.add(path)


def sink(**changes: Any) -> Break:
    return lambda cloud: cloud.apis.sinks[1].update(changes)


def channel(**changes: Any) -> Break:
    return lambda cloud: cloud.apis.channels[CHANNEL].update(changes)


def subscription(**changes: Any) -> Break:
    def change(cloud: Cloud) -> None:
        former = types.Subscription.to_dict(cloud.pubsub.subscriptions[cloud.subscription])
        cloud.pubsub.subscriptions[cloud.subscription] = types.Subscription({**former, **changes})

    return change


def nothing_logged(cloud: Cloud) -> None:
    cloud.vertex.pushes = ()


def listing_refused(cloud: Cloud) -> None:
    cloud.vertex.faults.refuse("ListModelMonitors", grpc.StatusCode.PERMISSION_DENIED, 1, "No.")


def entry_without_the_label(cloud: Cloud) -> None:
    entry: dict[str, Any] = copy.deepcopy(ENTRY)
    labels = entry["resource"]["labels"]
    labels["model_monitor"] = labels.pop("model_monitor_id")
    cloud.apis.entries[:] = [entry]


# By what breaks it: the check, a part of what it says, and a part of the fix.
MISSING: list[tuple[Break, str, str, str]] = [
    (configured(model_name="nobody"), "model", "no model is named 'nobody'", "upload the model"),
    (configured(model_alias="production"), "model", "the alias 'production'", "model_alias"),
    (
        configured(project_number="42"),
        *("project number", f"is 42, but af-finanzen is {NUMBER}", "correct"),
    ),
    (
        lambda cloud: cloud.copy_monitor(),
        *("monitors of the versions", "has 2 monitors", "delete all but"),
    ),
    (
        lambda cloud: cloud.copy_monitor("by-hand", version="0"),
        *("monitors of the versions", "holds back by-hand", "further_model_monitor_ids"),
    ),
    (
        lambda cloud: cloud.put_job("job-2", "gs://transak-i1/predictions/missing.csv"),
        *("newest monitoring jobs", "job-2: rejected", "correct what"),
    ),
    (nothing_logged, "log entries", "job-1 found drift", "log_anomalies"),
    (entry_without_the_label, "log entries", "filter holds back", "shape"),
    (
        lambda cloud: cloud.apis.entries.insert(0, {**ENTRY, "jsonPayload": {"message": "no job"}}),
        *("log entries", "no_monitoring_job", "shape"),
    ),
    (
        channel(type="email", labels={}),
        *("notification channel", "email, not pubsub", "terraform apply"),
    ),
    (
        channel(labels={"topic": OTHER_TOPIC}),
        *("notification channel", "topics/other", "terraform"),
    ),
    (
        lambda cloud: cloud.pubsub.publishers[cloud.topic].remove(NOTIFIER),
        *("IAM of the notification channel", NOTIFIER, "roles/pubsub.publisher"),
    ),
    (
        lambda cloud: cloud.apis.writers[BUCKET].clear(),
        *("IAM on the monitoring output", MONITORING_AGENT, "roles/storage.objectUser"),
    ),
    (
        lambda cloud: cloud.vertex.monitoring.delete_monitors(),
        *("model monitor", "no ModelMonitor of", "materialize model_monitor"),
    ),
    (
        configured(drift_thresholds={"description": 0.1, "type": 0.3}),
        *("model monitor", "description.threshold is 0.3, not 0.1", "materialize model_monitor"),
    ),
    (listing_refused, "model monitor", "grant roles/aiplatform.viewer", "fix what was found"),
    (
        lambda cloud: cloud.configure_vertex(pipeline_template="no.yaml"),
        *("training pipeline", "'no.yaml' cannot be read", "fix what"),
    ),
    (
        lambda cloud: cloud.configure_vertex(pipeline_parameters={"epoch": 1}),
        *("training pipeline", "epoch is no parameter", "fix what"),
    ),
    (
        lambda cloud: cloud.vertex.buckets.path("gs://transak-i1/training/1.csv").unlink(),
        *("baseline dataset", "matches no object", "write the data"),
    ),
    (lambda cloud: cloud.apis.sinks.pop(), "log sink", "no sink writes to", "terraform apply"),
    (sink(filter="severity > 1"), "log sink", "is not the one of monitor", "terraform apply"),
    (sink(disabled=True), "log sink", "is disabled", "enable it"),
    (
        lambda cloud: cloud.apis.sinks.append({**cloud.apis.sinks[1], "name": "twice"}),
        *("log sink", "more than once", "delete all but one"),
    ),
    (
        lambda cloud: cloud.pubsub.publishers.clear(),
        *("IAM of the log sink", WRITER, "roles/pubsub.publisher"),
    ),
    (
        lambda cloud: cloud.pubsub.topics.remove(cloud.topic),
        *("trigger topic", "does not exist", "terraform apply"),
    ),
    (
        lambda cloud: cloud.pubsub.subscriptions.pop(cloud.subscription),
        *("trigger subscription", "does not exist", "terraform apply"),
    ),
    (
        subscription(topic=OTHER_TOPIC),
        *("trigger subscription", f"it is of {OTHER_TOPIC}", "terraform apply"),
    ),
    (
        subscription(dead_letter_policy=None),
        *("trigger subscription", "go nowhere", "terraform apply"),
    ),
    (
        subscription(push_config={"push_endpoint": "https://x.example"}),
        *("trigger subscription", "it pushes", "terraform apply"),
    ),
    (
        lambda cloud: cloud.pubsub.permissions.remove(CONSUME),
        *("IAM on the trigger subscription", CONSUME, "roles/pubsub.subscriber"),
    ),
    (
        lambda cloud: cloud.apis.missing.add("aiplatform.modelMonitors.update"),
        *("IAM on Vertex AI", "aiplatform.modelMonitors.update", "roles/aiplatform.user"),
    ),
]
UNKNOWN: list[tuple[Break, str, str, str]] = [
    (denied("/v1/projects/af-finanzen"), "project number", "permission", "projects.get"),
    (denied("entries:list"), "log entries", "permission", "roles/logging.viewer"),
    (denied("/sinks"), "log sink", "permission", "roles/logging.viewer"),
    (
        lambda cloud: cloud.apis.channels.clear(),
        *("notification channel", "no such path", "terraform apply"),
    ),
    (
        lambda cloud: cloud.apis.writers.clear(),
        *("IAM on the monitoring output", "no such path", "create the bucket"),
    ),
]


@pytest.mark.parametrize(
    ("state", "break_it", "check", "detail", "fix"),
    [*(("missing", *fault) for fault in MISSING), *(("unknown", *fault) for fault in UNKNOWN)],
)
def test_whatever_is_missing_is_found_with_its_fix(
    cloud: Cloud, state: str, break_it: Break, check: str, detail: str, fix: str
) -> None:
    break_it(cloud)
    status, checks = run_doctor()
    assert status == 1
    found = checks[check]
    assert found["state"] == state
    assert detail in found["detail"]
    assert fix in found["fix"]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PLATFORM", "local", "TRANSAK_DRIFT_PLATFORM=gcp"),
        ("GOOGLE_APIS_URL", "http://collector.example.com", "is not of this machine"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"TRANSAK_DRIFT_{variable}", value)
    with pytest.raises(PlatformError, match=told):
        CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
