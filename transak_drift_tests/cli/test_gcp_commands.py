"""The commands on the gcp platform, against a loopback Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from transak_drift.cli.backfill import windows_to_monitor
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.monitoring_results_sensor import SENSOR_NAME
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import load_settings
from transak_drift_tests.cli.commands import call, document, monitor
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.servers.clients import monitored_config, rows, use_gcp_platform
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.windows import day_window

DAYS = [date(2026, 5, 1) + timedelta(days=n) for n in range(3)]
RUNS, FAILS, DRIFTS = DAYS
PREDICTIONS = "gs://transak-i1/predictions/{}.csv"
NEVER = 1_000_000


@pytest.fixture
def vertex(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackVertex]:
    with LoopbackVertex(project / "buckets") as server, LoopbackStorage(server.buckets) as storage:
        config = monitored_config()
        server.models.upload(config.model_name)
        server.buckets.write_csv("gs://transak-i1/training/1.csv", rows(50, 50))
        for day in DAYS:
            shown = rows(90 if day == DRIFTS else 40, 50)
            server.buckets.write_csv(PREDICTIONS.format(day), shown)
        file = project / "monitoring_config.json"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        use_gcp_platform(monkeypatch, file, config, server.endpoint)
        yield server


def test_a_started_job_is_awaited_until_it_has_ended_and_started_again_once_it_failed(
    vertex: LoopbackVertex, project: Path
) -> None:
    vertex.monitoring.looks = NEVER
    words = ("backfill", "--from", str(DAYS[0]), "--until", str(DAYS[-1]))
    first = call(*words)
    assert first.exit_code == 0, first.output
    assert "0 day(s) monitored, 0 left out" in first.stdout
    assert "3 monitoring job(s) are awaited" in first.stdout
    assert "no day has a report yet" in first.stdout
    assert len(vertex.monitoring.jobs()) == 3

    target = vertex.buckets.path(PREDICTIONS.format(FAILS))
    written = target.read_bytes()
    target.unlink()
    for job in vertex.monitoring.jobs():
        if f"/day-{RUNS:%Y%m%d}-" not in job.name:
            vertex.monitoring.finish_at_next_look(job.name)
    settings = load_settings()
    definitions = build_definitions(settings, settings.load_configs())
    with dg.DagsterInstance.from_config(str(project / "state" / "dagster_home")) as instance:
        resources = {"platform": platform_resource(settings)}
        SensorTicks(instance, definitions.resolve_sensor_def(SENSOR_NAME), resources).tick()
        # Where no sensor follows, a day that was started has been interrupted.
        windows = list(map(day_window, DAYS))
        local = windows_to_monitor(
            instance, ModelNames(), windows, again=False, results_follow=False
        )
        assert (local.due, local.awaited) == (windows[:2], [])

    target.write_bytes(written)
    second = call(*words)
    assert second.exit_code == 0, second.output
    assert "0 day(s) monitored, 1 left out" in second.stdout
    assert "2 monitoring job(s) are awaited" in second.stdout
    assert "drift of description began on 2026-05-03 (0.40 > 0.3) and still stands" in second.stdout
    assert len(vertex.monitoring.jobs()) == 4
    # Also with a report; its job, which has ended, is not started again.
    again = call(*words, "--again")
    assert "1 day(s) monitored, 0 left out" in again.stdout
    assert "2 monitoring job(s) are awaited" in again.stdout


def test_the_newest_job_is_published_whether_it_drifted_or_not(
    vertex: LoopbackVertex, project: Path, queue: TriggerQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ensure_embedded_pubsub(project / "state" / "pubsub") as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.endpoint)
    [drifted] = monitor(DRIFTS)
    said = document("publish-drift")
    assert (said["monitoring_job"], said["verdict"]) == (drifted, "drift")
    [quiet] = monitor(RUNS)
    said = document("publish-drift", "--shape", "channel")
    assert (said["monitoring_job"], said["verdict"]) == (quiet, "not drift")
    named = "/".join(drifted.split("/")[5::2])
    assert document("publish-drift", "--job", named)["verdict"] == "drift"

    bodies = {message.data for message in queue.pull(10, 1_000_000, 2.0)}
    verdicts = sorted(document("explain", "-", stdin=body)["verdict"] for body in bodies)
    assert verdicts == ["drift", "drift", "not drift"]
    numbered = quiet.replace("af-finanzen", "123456789012")
    explained = document("explain", "-", stdin=json.dumps(numbered).encode())
    assert explained["monitoring_job"] == quiet
    assert {item["feature"]: item["distance"] for item in explained["features"]} == {
        "description": pytest.approx(0.1),
        "type": 0.0,
    }
