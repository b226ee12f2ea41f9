"""A backfill on the gcp platform: jobs are started, their reports follow by the sensor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from transak_drift.cli.backfill import days_to_monitor
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.monitoring_results_sensor import SENSOR_NAME
from transak_drift.settings import load_settings
from transak_drift_tests.cli.commands import call
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage

DAYS = [date(2026, 5, 1) + timedelta(days=n) for n in range(3)]
RUNS, FAILS, DRIFTS = DAYS
PREDICTIONS = "gs://transak-i1/predictions/{}.csv"
NEVER = 1_000_000


def rows(coop: int) -> list[dict[str, object]]:
    """Return ten rows, so many of which are of one description."""
    return [
        {"description": "Coop" if number < coop else "Migros", "type": "Card"}
        for number in range(10)
    ]


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackVertex]:
    with LoopbackVertex(tmp_path / "buckets") as server, LoopbackStorage(server.buckets) as storage:
        config = monitored_config()
        server.models.upload(config.model_name)
        server.buckets.write_csv("gs://transak-i1/training/1.csv", rows(5))
        for day in DAYS:
            server.buckets.write_csv(PREDICTIONS.format(day), rows(9 if day == DRIFTS else 5))
        file = tmp_path / "monitoring_config.json"
        file.write_text(config.model_dump_json(exclude_none=True))
        for name, value in {
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": str(file),
            "TRANSAK_DRIFT_HOME": str(tmp_path / "state"),
            "TRANSAK_DRIFT_VERTEX_ENDPOINT": server.endpoint,
            "STORAGE_EMULATOR_HOST": storage.url,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        yield server


def test_a_started_job_is_awaited_until_it_has_ended_and_started_again_once_it_failed(
    vertex: LoopbackVertex, tmp_path: Path
) -> None:
    vertex.monitoring.job_looks = NEVER
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
    with dg.DagsterInstance.from_config(str(tmp_path / "state" / "dagster_home")) as instance:
        with dg.build_sensor_context(
            instance=instance, resources={"platform": platform_resource(settings)}
        ) as context:
            result = definitions.resolve_sensor_def(SENSOR_NAME)(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        # Where no sensor follows, a day that was started has been interrupted.
        local = days_to_monitor(instance, ModelNames(), DAYS, again=False, results_follow=False)
        assert (local.due, local.awaited) == ([RUNS, FAILS], [])

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
