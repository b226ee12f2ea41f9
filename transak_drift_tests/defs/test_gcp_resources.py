"""The gcp platform loads without Google's clients and without a call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from transak_drift.config.errors import ConfigError
from transak_drift.config.monitoring_config import load_config
from transak_drift.defs.gcp_resources import (
    GcpPlatformResource,
    gcp_platform_resource,
    gcp_trigger_queue_resource,
)
from transak_drift.settings import load_settings
from transak_drift_tests.config.configurations import CONFIG_FILE, REPOSITORY

# Every socket is refused, so that a single call would end the process with an error.
LOAD = """
import json, socket, sys, time
def refuse(*_): raise OSError("no network while definitions are loaded")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
started = time.process_time()
from transak_drift.definitions import defs
defs.resolve_all_asset_specs()
names = [n for n in sys.modules if n.startswith(("google.cloud.", "google.pubsub"))]
print(json.dumps({"seconds": time.process_time() - started, "modules": names,
                  "dagster_gcp": "dagster_gcp" in sys.modules,
                  "sensors": sorted(s.name for s in defs.sensors)}))
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
    platform = gcp_platform_resource(settings)
    assert isinstance(platform, GcpPlatformResource)
    endpoint = platform.connect(load_config(CONFIG_FILE)).endpoint
    assert (endpoint.project_id, endpoint.location) == ("af-finanzen", "europe-west6")
    assert (endpoint.address, endpoint.service_account) == ("127.0.0.1:8080", account)
    queue = gcp_trigger_queue_resource(settings)
    assert (queue.endpoint(), queue.service_account()) == (None, account)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    assert queue.endpoint() == "127.0.0.1:9"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRANSAK_DRIFT_VERTEX_ENDPOINT", "https://vertex.example.com"),
        ("TRANSAK_DRIFT_IMPERSONATE_SERVICE_ACCOUNT", "somebody@example.com"),
        ("TRANSAK_DRIFT_CANCEL_TRAINING_WITH_RUN", "perhaps"),
        ("TRANSAK_DRIFT_GOOGLE_APIS_URL", "127.0.0.1"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable):
        load_settings()
