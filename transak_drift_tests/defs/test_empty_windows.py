"""Windows without rows, such as holidays, on both platforms and a real Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions
from transak_drift.defs import keys
from transak_drift.defs.gcp_resources import GcpPlatformResource
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import failure_message
from transak_drift.defs.recorded_reports import read_drift_history
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.servers.bigquery_server import LoopbackBigQuery
from transak_drift_tests.servers.clients import monitored_config, rows
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage

NAMES = ModelNames()
# A Friday, as in many countries a holiday.
HOLIDAY = date(2026, 5, 1)
TABLE = "af-finanzen.transak.predictions"


def run(
    settings: Settings,
    config: MonitoringConfig,
    instance: dg.DagsterInstance,
    job: str,
    partition: str | None = None,
    resources: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings, [config])
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=partition, raise_on_error=False, resources=resources
    )


def assert_recorded_as_empty(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance):
    assert result.success
    checks = result.get_asset_check_evaluations()
    assert len(checks) == 6
    assert all(check.passed for check in checks)
    [window] = read_drift_history(instance, NAMES).windows
    assert (window.result.verdict, window.result.target_rows) == ("no bookings in this window", 0)
    assert {item.verdict for item in window.result.features} == {"no bookings"}


@pytest.mark.parametrize("layout", ["a file a day", "one file"])
def test_a_holiday_after_the_end_of_local_files_is_late_unless_it_may_be_empty(
    tmp_path: Path, instance: dg.DagsterInstance, layout: str
) -> None:
    data = tmp_path / "days"
    data.mkdir()
    bookings = "".join(f"2026-04-30,shop {n % 5},CARD\n" for n in range(100))
    name = "2026-04-30.csv" if layout == "a file a day" else "all.csv"
    (data / name).write_text(f"date,description,type\n{bookings}")
    location = data if layout == "a file a day" else data / name
    settings = Settings(home=tmp_path / "state", platform="local")
    config = configuration(start_date=str(HOLIDAY), transactions=str(location))
    assert run(settings, config, instance, keys.PREPARE_JOB).success
    late = run(settings, config, instance, keys.window_job(config), str(HOLIDAY))
    [event] = late.filter_events(lambda event: event.is_step_failure)
    assert 'or with "empty_windows": "allowed"' in (failure_message(event) or "")

    allowed = config.model_copy(update={"empty_windows": "allowed"})
    empty = run(settings, allowed, instance, keys.window_job(config), str(HOLIDAY))
    assert_recorded_as_empty(empty, instance)
    # What comes late replaces it.
    more = "".join(f"{HOLIDAY},shop {n % 5},CARD\n" for n in range(100))
    if layout == "a file a day":
        (data / f"{HOLIDAY}.csv").write_text(f"date,description,type\n{more}")
    else:
        (data / name).write_text(f"date,description,type\n{bookings}{more}")
    assert run(settings, allowed, instance, keys.window_job(config), str(HOLIDAY)).success
    [window] = read_drift_history(instance, NAMES).windows
    assert (window.result.verdict, window.result.target_rows) == ("no drift", 100)


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    with LoopbackVertex(tmp_path / "vertex") as server:
        server.models.upload("transak-i1-train-model")
        server.buckets.write_csv("gs://transak-i1/training/1.csv", rows(50, 50))
        yield server


@pytest.fixture
def bigquery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBigQuery]:
    with LoopbackBigQuery() as server:
        key_file = tmp_path / "key.json"
        server.write_key_file(key_file)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        server.tables.create(TABLE, "SELECT TIMESTAMP '2026-04-30 09:00:00' AS date")
        yield server


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("gs://transak-i1/predictions/{date}.csv", r"matches no object of 2026-05-01; write them"),
        (f"bq://{TABLE}", r"has no rows of 2026-05-01; write them first, or set \"empty_windows"),
    ],
)
def test_no_job_is_started_on_vertex_ai_for_a_window_that_may_be_empty(
    vertex: LoopbackVertex,
    storage: LoopbackStorage,
    bigquery: LoopbackBigQuery,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    address: str,
    fault: str,
) -> None:
    settings = Settings(home=tmp_path / "state", platform="gcp")
    places = {"prediction_dataset": address, "monitoring_output": "gs://transak-i1/monitoring"}
    config = monitored_config(vertex=places, start_date="2026-04-01")
    resources = {"platform": GcpPlatformResource(vertex_endpoint=vertex.endpoint)}
    job, day = keys.window_job(config), str(HOLIDAY)
    assert run(settings, config, instance, keys.PREPARE_JOB, resources=resources).success
    late = run(settings, config, instance, job, day, resources)
    [event] = late.filter_events(lambda event: event.is_step_failure)
    with pytest.raises(ValueError, match=fault):
        raise ValueError(failure_message(event))

    allowed = config.model_copy(update={"empty_windows": "allowed"})
    empty = run(settings, allowed, instance, job, day, resources)
    assert_recorded_as_empty(empty, instance)
    assert vertex.monitoring.jobs() == []
    [page] = (tmp_path / "transak-i1" / "monitoring" / "drift_reports").iterdir()
    assert page.name == f"{day}-empty.html"
    text = page.read_text()
    assert "No bookings in this window" in text and "Monitoring job" not in text
