"""`transak-drift doctor` finds each thing that is missing by itself, and writes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.platform import PlatformError
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift_tests.cli.commands import call
from transak_drift_tests.servers.bigquery_server import LoopbackBigQuery
from transak_drift_tests.servers.clients import (
    apply_monitors,
    csv_dataset,
    monitored_config,
    use_gcp_platform,
)
from transak_drift_tests.servers.google_apis_server import LoopbackGoogleApis
from transak_drift_tests.servers.pubsub_admin import LoopbackPubSubAdmin
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY

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
NAMES_NO_JOB = {**ENTRY, "jsonPayload": {"message": "no job"}}
PUSH_CONFIG = {"push_endpoint": "https://x.example"}


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

    def copy_monitor(self, monitor_id: str | None = None, version: str = "1") -> None:
        target = self.vertex.monitoring.monitors()[0].model_monitoring_target.vertex_model
        self.vertex.monitoring.put_monitor(target.model, version, monitor_id)

    def put_job(self, job_id: str, uri: str = TARGET) -> None:
        monitor = self.vertex.monitoring.monitors()[0].name
        self.vertex.monitoring.put_job(monitor, csv_dataset(uri), job_id=job_id)

    @property
    def topic(self) -> str:
        return topic_name(self.config.project_id, self.config.trigger_topic)

    @property
    def subscription(self) -> str:
        return subscription_name(self.config.project_id, self.config.trigger_subscription)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    config = monitored_config(vertex={"monitoring_output": f"gs://{BUCKET}/drift"})
    config_file = tmp_path / "monitoring_config.json"
    with (
        LoopbackVertex(tmp_path / "buckets") as vertex,
        LoopbackStorage(vertex.buckets) as storage,
        LoopbackPubSubAdmin() as pubsub,
        LoopbackGoogleApis() as apis,
    ):
        cloud = Cloud(config, config_file, vertex, pubsub, apis)
        vertex.models.upload(config.model_name)
        known, new = ({"type": kind, "description": kind} for kind in ("known", "new"))
        vertex.buckets.write_csv("gs://transak-i1/training/1.csv", [known])
        vertex.buckets.write_csv(TARGET, [known, new] * 10)
        channels = {"notification_channels": (CHANNEL,)}
        apply_monitors(vertex.endpoint, config.model_copy(update=channels))
        cloud.put_job("job-1")
        vertex.calls.clear()
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
                "filter": "\r\n".join(sink_filter(config.model_monitor_id).splitlines()) + "\n\n",
            },
        ]
        use_gcp_platform(
            *(monkeypatch, config_file, config, vertex.endpoint),
            TRANSAK_DRIFT_GOOGLE_APIS_URL=apis.url,
            TRANSAK_DRIFT_TRIGGER_CHANNELS=json.dumps({config.trigger_topic: CHANNEL}),
            PUBSUB_EMULATOR_HOST=pubsub.endpoint,
            STORAGE_EMULATOR_HOST=storage.url,
        )
        yield cloud


def run_doctor() -> tuple[int, dict[str, dict[str, str]]]:
    outcome = call("doctor", "--json")
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
    assert all(item.method.startswith(READ_ONLY) for item in cloud.vertex.calls)
    assert cloud.vertex.pipelines.jobs() == []
    assert {request.method for request in cloud.apis.requests} == {"GET", "POST"}
    posted = [item.path for item in cloud.apis.requests if item.method == "POST"]
    assert set(posted) == {"/v1/projects/af-finanzen:testIamPermissions", "/v2/entries:list"}
    called = {item.method for item in cloud.pubsub.calls}
    assert called == {"GetTopic", "GetSubscription", "GetIamPolicy", "TestIamPermissions"}


def test_the_table_names_each_check_and_ends_with_the_verdict(cloud: Cloud) -> None:
    outcome = call("doctor")
    assert outcome.exit_code == 0
    assert "everything exists and agrees" in outcome.stdout
    assert '"insertId": "job-1-' in outcome.stdout
    cloud.pubsub.topics.clear()
    outcome = call("doctor")
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


def on_vertex(**changes: Any) -> Break:
    return lambda cloud: cloud.configure(vertex={**cloud.config.vertex.model_dump(), **changes})


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


def second_sink(cloud: Cloud) -> None:
    cloud.apis.sinks.append({**cloud.apis.sinks[1], "name": "twice"})


def nothing_logged(cloud: Cloud) -> None:
    cloud.vertex.pushes = ()


def listing_refused(cloud: Cloud) -> None:
    cloud.vertex.faults.refuse("ListModelMonitors", grpc.StatusCode.PERMISSION_DENIED, 1, "No.")


def entry_without_the_label(cloud: Cloud) -> None:
    entry: dict[str, Any] = copy.deepcopy(ENTRY)
    labels = entry["resource"]["labels"]
    labels["model_monitor"] = labels.pop("model_monitor_id")
    cloud.apis.entries[:] = [entry]


Faults = Mapping[str, list[tuple[Break, str, str]]]
"""By check: what breaks it, a part of what it says then, and a part of the fix."""

MISSING: Faults = {
    "model": [
        (configured(model_name="nobody"), "no model is named 'nobody'", "upload the model"),
        (configured(model_alias="production"), "the alias 'production'", "model_alias"),
    ],
    "project number": [
        (configured(project_number="42"), f"is 42, but af-finanzen is {NUMBER}", "correct"),
    ],
    "monitors of the versions": [
        (lambda cloud: cloud.copy_monitor(), "has 2 monitors", "delete all but"),
        (
            lambda cloud: cloud.copy_monitor("by-hand", version="0"),
            *("holds back by-hand", "further_model_monitor_ids"),
        ),
    ],
    "newest monitoring jobs": [
        (
            lambda cloud: cloud.put_job("job-2", "gs://transak-i1/predictions/missing.csv"),
            *("job-2: rejected", "correct what"),
        ),
    ],
    "log entries": [
        (nothing_logged, "job-1 found drift", "log_anomalies"),
        (entry_without_the_label, "filter holds back", "shape"),
        (lambda cloud: cloud.apis.entries.insert(0, NAMES_NO_JOB), "no_monitoring_job", "shape"),
    ],
    "notification channel": [
        (channel(type="email", labels={}), "email, not pubsub", "terraform apply"),
        (channel(labels={"topic": OTHER_TOPIC}), "topics/other", "terraform"),
    ],
    "IAM of the notification channel": [
        (
            lambda cloud: cloud.pubsub.publishers[cloud.topic].remove(NOTIFIER),
            *(NOTIFIER, "roles/pubsub.publisher"),
        ),
    ],
    "IAM on the monitoring output": [
        (
            lambda cloud: cloud.apis.writers[BUCKET].clear(),
            *(MONITORING_AGENT, "roles/storage.objectUser"),
        ),
    ],
    "model monitor": [
        (
            lambda cloud: cloud.vertex.monitoring.delete_monitors(),
            *("no ModelMonitor of", "materialize model_monitor"),
        ),
        (
            configured(drift_thresholds={"description": 0.1, "type": 0.3}),
            *("description.threshold is 0.3, not 0.1", "materialize model_monitor"),
        ),
        (listing_refused, "grant roles/aiplatform.viewer", "fix what was found"),
    ],
    "training pipeline": [
        (on_vertex(pipeline_template="no.yaml"), "'no.yaml' cannot be read", "fix what"),
        (on_vertex(pipeline_parameters={"epoch": 1}), "epoch is no parameter", "fix what"),
    ],
    "baseline dataset": [
        (
            lambda cloud: cloud.vertex.buckets.path("gs://transak-i1/training/1.csv").unlink(),
            *("matches no object", "write the data"),
        ),
    ],
    "log sink": [
        (lambda cloud: cloud.apis.sinks.pop(), "no sink writes to", "terraform apply"),
        (sink(filter="severity > 1"), "is not the one of monitor", "terraform apply"),
        (sink(disabled=True), "is disabled", "enable it"),
        (second_sink, "more than once", "delete all but one"),
    ],
    "IAM of the log sink": [
        (lambda cloud: cloud.pubsub.publishers.clear(), WRITER, "roles/pubsub.publisher"),
    ],
    "trigger topic": [
        (lambda cloud: cloud.pubsub.topics.remove(cloud.topic), "does not exist", "terraform"),
    ],
    "trigger subscription": [
        (
            lambda cloud: cloud.pubsub.subscriptions.pop(cloud.subscription),
            *("does not exist", "terraform apply"),
        ),
        (subscription(topic=OTHER_TOPIC), f"it is of {OTHER_TOPIC}", "terraform apply"),
        (subscription(dead_letter_policy=None), "go nowhere", "terraform apply"),
        (subscription(push_config=PUSH_CONFIG), "it pushes", "terraform apply"),
    ],
    "IAM on the trigger subscription": [
        (
            lambda cloud: cloud.pubsub.permissions.remove(CONSUME),
            *(CONSUME, "roles/pubsub.subscriber"),
        ),
    ],
    "IAM on Vertex AI": [
        (
            lambda cloud: cloud.apis.missing.add("aiplatform.modelMonitors.update"),
            *("aiplatform.modelMonitors.update", "roles/aiplatform.user"),
        ),
    ],
}
UNKNOWN: Faults = {
    "project number": [(denied("/v1/projects/af-finanzen"), "permission", "projects.get")],
    "log entries": [(denied("entries:list"), "permission", "roles/logging.viewer")],
    "log sink": [(denied("/sinks"), "permission", "roles/logging.viewer")],
    "notification channel": [
        (lambda cloud: cloud.apis.channels.clear(), "no such path", "terraform apply"),
    ],
    "IAM on the monitoring output": [
        (lambda cloud: cloud.apis.writers.clear(), "no such path", "create the bucket"),
    ],
}


@pytest.mark.parametrize(
    ("state", "check", "break_it", "detail", "fix"),
    [
        (state, check, *fault)
        for state, faults in (("missing", MISSING), ("unknown", UNKNOWN))
        for check, of_check in faults.items()
        for fault in of_check
    ],
)
def test_whatever_is_missing_is_found_with_its_fix(
    cloud: Cloud, state: str, check: str, break_it: Break, detail: str, fix: str
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
        call("doctor")


def test_bigquery_checks_the_queries_without_running_them(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "SELECT type FROM `{project}.transak.months` WHERE month = {{yyyymm}}"
    baseline = "SELECT type FROM `af-finanzen.transak.months` WHERE month < {yyyymm}"

    def configure(prediction_query: str) -> None:
        vertex = {
            **cloud.config.vertex.model_dump(),
            "training_dataset": None,
            "training_query": baseline,
            "prediction_dataset": None,
            "prediction_query": prediction_query,
        }
        cloud.configure(monitoring_window="month", vertex=vertex)

    def monitored() -> tuple[str, str, str]:
        _, checks = run_doctor()
        assert checks["baseline dataset"]["state"] == "ok" or server.denied
        found = checks["monitored dataset"]
        return found["state"], found["detail"], found["fix"]

    with LoopbackBigQuery(cloud.vertex.tables) as server:
        key_file = tmp_path / "key.json"
        server.write_key_file(key_file)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        for project in ("af-finanzen", "another"):
            name = f"{project}.transak.months"
            cloud.vertex.tables.insert(name, [{"type": "Card", "month": 202608}])
        configure(query.format(project="af-finanzen"))
        read = "the query would read 1024 bytes of af-finanzen.transak.months"
        assert monitored() == ("ok", read, "")
        configure(query.format(project="af-finanzen").replace("SELECT type", "SELECT typ"))
        state, detail, fix = monitored()
        assert (state, "BigQuery refuses" in detail, "typ" in detail) == ("missing", True, True)
        assert "vertex.prediction_query" in fix

        # What the agent of Vertex AI may read in another project is only known from there.
        configure(query.format(project="another"))
        state, _, fix = monitored()
        assert state == "unknown"
        agent = MONITORING_AGENT.partition(":")[2]
        assert fix.startswith("grant roles/bigquery.dataViewer on another.transak to ")
        assert fix.endswith(agent)
        server.readers["another.transak"] = [agent]
        assert monitored()[0] == "ok"

        server.denied = True
        state, detail, _ = monitored()
        assert state == "missing"
        assert "lacks bigquery.jobs.create" in detail
        assert "roles/bigquery.jobUser" in detail
        cloud.apis.missing.add("bigquery.jobs.create")
        _, checks = run_doctor()
        assert "bigquery.jobs.create" in checks["IAM on Vertex AI"]["detail"]
        assert "roles/bigquery.jobUser" in checks["IAM on Vertex AI"]["fix"]
        assert server.queries == []
