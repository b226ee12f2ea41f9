"""The gcp platform loads without Google's clients and without a call."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transak_drift.config.errors import ConfigError
from transak_drift.definitions import trigger_queue_resource
from transak_drift.defs.gcp_resources import (
    GcpPlatformResource,
    gcp_platform_resource,
)
from transak_drift.settings import load_settings
from transak_drift_tests.config.configurations import (
    CONFIG_FILE,
    REPOSITORY,
    configuration,
    document,
)
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.google_apis_server import LoopbackGoogleApis
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY

# Every socket is refused, so that a single call would end the process with an error.
LOAD = """
import json, socket, sys, time
def refuse(*_): raise OSError("no network while definitions are loaded")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
started = time.process_time()
from transak_drift.definitions import defs
defs().resolve_all_asset_specs()
names = [n for n in sys.modules if n.startswith(("google.cloud.", "google.pubsub"))]
print(json.dumps({"seconds": time.process_time() - started, "modules": names,
                  "dagster_gcp": "dagster_gcp" in sys.modules,
                  "sensors": sorted(s.name for s in defs().sensors)}))
"""


def test_definitions_load_in_seconds_without_a_call_and_without_the_clients(
    tmp_path: Path,
) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=REPOSITORY,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": str(CONFIG_FILE),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert [name for name in found["modules"] if "aiplatform" in name or "pubsub" in name] == []
    assert found["dagster_gcp"] is False
    assert found["sensors"] == [
        "drift_history_sensor",
        "drift_message_sensor",
        "monitoring_results_sensor",
        "run_health_sensor",
    ]
    # Of this process's own time, so that a busy machine does not count.
    assert found["seconds"] < 3


def test_the_settings_reach_both_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    account = "dagster@af-finanzen.iam.gserviceaccount.com"
    monkeypatch.setenv("TRANSAK_DRIFT_PLATFORM", "gcp")
    monkeypatch.setenv("TRANSAK_DRIFT_IMPERSONATE_SERVICE_ACCOUNT", account)
    monkeypatch.setenv("TRANSAK_DRIFT_VERTEX_ENDPOINT", "127.0.0.1:8080")
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    settings = load_settings()
    connection = gcp_platform_resource(settings).connect(configuration())
    assert (connection.project_id, connection.location) == ("af-finanzen", "europe-west6")
    assert (connection.address, connection.service_account) == ("127.0.0.1:8080", account)
    queue = trigger_queue_resource(settings)
    assert (queue.endpoint(), queue.impersonate_service_account) == (None, account)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    assert queue.endpoint() == "127.0.0.1:9"


def test_vertex_ai_tells_the_channel_of_the_trigger_topic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As `terraform output dagster_environment` names it, for each model by its own topic."""
    own, *trigger = [f"projects/af-finanzen/notificationChannels/{n}" for n in (77, 1, 2)]
    topics = ["ps-transak-i1-train-trigger", "ps-transak-i2-train-trigger"]
    second = {
        "model_name": "transak-i2",
        "monitoring_job_display_name": "transak_i2_drift",
        "trigger_topic": topics[1],
    }
    for name, changes in (("a", {}), ("b", second)):
        text = json.dumps(document(notification_channels=[own], **changes))
        (tmp_path / f"{name}.json").write_text(text)
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", str(tmp_path))
    channels = dict(zip(topics, trigger, strict=True))
    monkeypatch.setenv("TRANSAK_DRIFT_TRIGGER_CHANNELS", json.dumps(channels))

    told = [config.notification_channels for config in load_settings().load_configs()]
    assert told == [(own, channel) for channel in trigger]
    monkeypatch.setenv("TRANSAK_DRIFT_TRIGGER_CHANNELS", "")
    assert load_settings().load_configs()[0].notification_channels == (own,)


def test_the_newest_entry_of_our_monitors_is_read_from_the_log(tmp_path: Path) -> None:
    config = monitored_config()
    with LoopbackVertex(tmp_path) as vertex, LoopbackGoogleApis() as apis:
        resource = GcpPlatformResource(vertex_endpoint=vertex.endpoint, google_apis_url=apis.url)
        # Without a model, a monitor or a right there is no entry, and no error.
        assert resource.newest_anomaly_entry(config) is None
        model = vertex.models.upload(config.model_name)
        assert resource.newest_anomaly_entry(config) is None
        monitor = vertex.monitoring.put_monitor(model.name)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        entry = {**DRIFT_ENTRY, "timestamp": now, "jsonPayload": {"monitor": monitor}}
        apis.entries += [{**DRIFT_ENTRY, "timestamp": now}, entry]
        assert resource.newest_anomaly_entry(config) == entry
        apis.denied.add("entries")
        assert resource.newest_anomaly_entry(config) is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VERTEX_ENDPOINT", "https://vertex.example.com"),
        ("CANCEL_TRAINING_WITH_RUN", "perhaps"),
        ("TRIGGER_CHANNELS", "projects/p/notificationChannels/1"),
        ("TRIGGER_CHANNELS", '{"ps-topic": "channel 1"}'),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"TRANSAK_DRIFT_{variable}", value)
    with pytest.raises(ConfigError, match=f"TRANSAK_DRIFT_{variable} = "):
        load_settings()
