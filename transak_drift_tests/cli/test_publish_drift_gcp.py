"""`explain` and `publish-drift` on the gcp platform, against a loopback Vertex AI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transak_drift_tests.cli.commands import document
from transak_drift_tests.cloud_function.conftest import Deployment, deployment
from transak_drift_tests.servers.clients import use_gcp_platform

__all__ = ["deployment"]


def test_the_newest_job_is_published_whether_it_drifted_or_not(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gcp_platform(
        *(monkeypatch, tmp_path / "monitoring_config.json", deployment.config),
        deployment.vertex.endpoint,
        PUBSUB_EMULATOR_HOST=deployment.pubsub_endpoint,
    )
    drifted = deployment.finished_job("drifted")
    said = document("publish-drift")
    assert (said["drift_event"], said["verdict"]) == (drifted.key, "drift")
    quiet = deployment.finished_job("quiet", {"description": 0.1})
    said = document("publish-drift", "--shape", "channel")
    assert (said["drift_event"], said["verdict"]) == (quiet.key, "not drift")
    assert document("publish-drift", "--job", drifted.key)["verdict"] == "drift"

    bodies = {message.data for message in deployment.queue.pull(10, 1_000_000, 2.0)}
    verdicts = sorted(document("explain", "-", stdin=body)["verdict"] for body in bodies)
    assert verdicts == ["drift", "drift", "not drift"]
    numbered = said["monitoring_job"].replace("af-finanzen", "123456789012")
    explained = document("explain", "-", stdin=json.dumps(numbered).encode())
    assert explained["monitoring_job"] == said["monitoring_job"]
    assert {item["feature"]: item["distance"] for item in explained["features"]} == {
        "description": pytest.approx(0.1),
        "type": 0.0,
    }
