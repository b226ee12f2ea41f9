"""`transak-drift doctor` finds each gap by itself, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
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

TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
WRITER = "serviceAccount:p123456789012-1@gcp-sa-logging.iam.gserviceaccount.com"
READ_ONLY = {"ListModelMonitors", "ListModels", "ListModelEvaluations", "GetPipelineJob"}


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

    @property
    def topic(self) -> str:
        return topic_name(self.config.project_id, self.config.trigger_topic)

    @property
    def subscription(self) -> str:
        return subscription_name(self.config.project_id, self.config.trigger_subscription)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    config = monitored_config(
        vertex={"pipeline_template": str(TEMPLATE), "pipeline_root": "gs://transak-i1/pipelines"}
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
        vertex.buckets.write_csv("gs://transak-i1/training/1.csv", [{"type": "Card"}])
        connection = connect(vertex.endpoint)
        apply_model_monitor(connection, config)
        connection.close()
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
        pubsub.publishers[cloud.topic] = {WRITER}
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
            "PUBSUB_EMULATOR_HOST": pubsub.endpoint,
            "STORAGE_EMULATOR_HOST": storage.url,
        }.items():
            monkeypatch.setenv(variable, value)
        yield cloud


def _filter_of(config: MonitoringConfig) -> str:
    return sink_filter(config.model_monitor_id, config.further_model_monitor_ids)


def run_doctor() -> tuple[int, dict[str, dict[str, str]]]:
    outcome = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    return outcome.exit_code, {item["piece"]: item for item in json.loads(outcome.stdout)}


def test_where_everything_agrees_nothing_is_open_and_nothing_is_written(cloud: Cloud) -> None:
    status, findings = run_doctor()
    assert (status, [p for p, item in findings.items() if item["state"] != "ok"]) == (0, [])
    assert len(findings) == 14
    assert {call.method for call in cloud.vertex.recorder.calls()} <= READ_ONLY
    assert cloud.vertex.pipelines.jobs() == []
    assert {method for method, _ in cloud.apis.methods} == {"GET", "POST"}
    posted = [path for method, path in cloud.apis.methods if method == "POST"]
    assert posted == ["/v1/projects/af-finanzen:testIamPermissions"]
    called = {call.method for call in cloud.pubsub.recorder.calls()}
    assert called == {"GetTopic", "GetSubscription", "GetIamPolicy", "TestIamPermissions"}


def test_the_table_names_each_piece_and_ends_with_the_verdict(cloud: Cloud) -> None:
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "every piece exists and agrees" in outcome.stdout
    cloud.pubsub.topics.clear()
    outcome = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert outcome.exit_code == 1
    assert "2 open" in outcome.stdout


def _no_model(cloud: Cloud) -> None:
    cloud.configure(model_name="nobody")


def _changed_threshold(cloud: Cloud) -> None:
    cloud.configure(drift_thresholds={"description": 0.1, "type": 0.3})


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
    ("break_it", "piece", "state", "detail", "fix"),
    [
        (_no_model, "model", "gap", "no model is named 'nobody'", "upload the model"),
        (_no_monitor, "model monitor", "gap", "no ModelMonitor of", "materialize model_monitor"),
        (
            _changed_threshold,
            "model monitor",
            "gap",
            "tabular_objective.thresholds.description is 0.3, not 0.1",
            "materialize model_monitor",
        ),
        (
            _may_not_read_the_monitor,
            "model monitor",
            "gap",
            "grant roles/aiplatform.viewer",
            "mend what was found",
        ),
        (_no_template, "training pipeline", "gap", "'no.yaml' cannot be read", "mend"),
        (_unknown_parameter, "training pipeline", "gap", "epoch is no parameter", "mend"),
        (_no_baseline, "baseline dataset", "gap", "matches no object", "write the data"),
        (_no_sink, "log sink", "gap", "no sink writes to", "terraform apply"),
        (_other_filter, "log sink filter", "gap", "is not the one of monitor", "terraform apply"),
        (_disabled_sink, "log sink", "gap", "is disabled", "enable it"),
        (_two_sinks, "log sinks", "gap", "more than once", "delete all but one"),
        (_may_not_list_sinks, "log sink", "unknown", "permission", "roles/logging.viewer"),
        (_writer_may_not, "IAM of the log sink", "gap", WRITER, "roles/pubsub.publisher"),
        (_no_topic, "trigger topic", "gap", "does not exist", "terraform apply"),
        (_no_subscription, "trigger subscription", "gap", "does not exist", "terraform apply"),
        (
            _subscription_of_another_topic,
            "trigger subscription",
            "gap",
            "it is of projects/af-finanzen/topics/other",
            "terraform apply",
        ),
        (_no_dead_letters, "trigger subscription", "gap", "go nowhere", "terraform apply"),
        (_pushing_subscription, "trigger subscription", "gap", "it pushes", "terraform apply"),
        (
            _may_not_pull,
            "IAM on the trigger subscription",
            "gap",
            "pubsub.subscriptions.consume",
            "roles/pubsub.subscriber",
        ),
        (
            _may_not_update,
            "IAM on Vertex AI",
            "gap",
            "aiplatform.modelMonitors.update",
            "roles/aiplatform.user",
        ),
    ],
)
def test_each_gap_is_found_with_its_fix(
    cloud: Cloud,
    break_it: Callable[[Cloud], None],
    piece: str,
    state: str,
    detail: str,
    fix: str,
) -> None:
    break_it(cloud)
    status, findings = run_doctor()
    assert status == 1
    found = findings[piece]
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
