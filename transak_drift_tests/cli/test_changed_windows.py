"""Other windows than those that are recorded are refused, and each way out works."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._cli import cli

from transak_drift.cli.model_jobs import CommandFailedError, ModelJobs
from transak_drift.definitions import build_definitions, platform_resource, trigger_queue_resource
from transak_drift.defs.keys import (
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    MONITORING_RUN,
    TRANSACTIONS,
    ModelNames,
)
from transak_drift.defs.recorded_reports import read_drift_history
from transak_drift.defs.recorded_windows import require_same_windows
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings
from transak_drift_tests.cli.commands import call, document, monitor
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.config.configurations import document as config_document
from transak_drift_tests.defs.sensor_ticks import SensorTicks

FIRST = date(2026, 3, 2)
MONDAY = "2026-03-23"
NAMES = ModelNames()
WINDOW = "TRANSAK_DRIFT_MONITORING_WINDOW"


@pytest.fixture
def recorded(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A project with the report of a Monday."""
    with (project / "transactions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("date", "description", "type"))
        for number in range(28 * 30):
            day = FIRST + timedelta(days=number // 30)
            writer.writerow((day, "Coop" if number % 2 else "Migros", "Card"))
    monkeypatch.setenv("TRANSAK_DRIFT_TRANSACTIONS", "transactions.csv")
    document("backfill", "--window", MONDAY)
    home = str(project / "state" / "dagster_home")
    with dg.DagsterInstance.from_config(home) as instance:
        yield instance


def records_of(instance: dg.DagsterInstance, names: ModelNames = NAMES) -> dict[str, int]:
    assets = (TRANSACTIONS, MONITORING_RUN, DRIFT_REPORT)
    fetch = instance.fetch_materializations
    return {name: len(fetch(names.asset(name), limit=9).records) for name in assets}


def test_other_windows_are_refused_before_anything_is_recorded_and_each_way_out_works(
    recorded: dg.DagsterInstance, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, state = records_of(recorded), project / "state"
    monkeypatch.setenv(WINDOW, "week")
    words = r"weeks of UTC are configured, but what is recorded is of days of UTC: set monitoring_"
    with pytest.raises(PlatformError, match=words) as refused:
        call("backfill", "--window", MONDAY)
    settings = load_settings()
    config = settings.load_config()
    definitions = build_definitions(settings, [config])
    jobs = ModelJobs(recorded, definitions, config)
    [failed] = jobs.monitor([config.windows.parse(MONDAY)])
    assert "set another asset_prefix" in failed.error
    assert not list(state.rglob("weeks_of_UTC"))
    with pytest.raises(CommandFailedError, match=words):
        jobs.run(DRIFT_HISTORY_JOB)
    # A job that another than Dagster has started: another drift event than that of the Monday.
    monitor(date.fromisoformat(MONDAY))
    stored = {path.stem for path in state.rglob("monitoring_jobs/*baseline*.json")}
    assert stored == {"20260323-baseline-initial", "week-20260323-baseline-initial"}
    resources = {
        "trigger_queue": trigger_queue_resource(settings),
        "platform": platform_resource(settings),
    }
    sensor = definitions.resolve_sensor_def("monitoring_results_sensor")
    with pytest.raises(PlatformError, match=words):
        SensorTicks(recorded, sensor, resources).tick()
    assert records_of(recorded) == before

    # Set back, the days go on; in another time zone they are others.
    monkeypatch.setenv(WINDOW, "")
    document("backfill", "--window", "2026-03-24")
    assert set(records_of(recorded).values()) == {2}
    file = project / "monitoring_config.json"
    file.write_text(json.dumps(config_document(time_zone="Europe/Zurich")))
    with pytest.raises(PlatformError, match="days of Europe/Zurich are configured"):
        call("backfill", "--window", "2026-03-25")

    # Under another prefix the reports begin anew.
    file.write_text(json.dumps(config_document(asset_prefix="weekly")))
    monkeypatch.setenv(WINDOW, "week")
    document("backfill", "--window", MONDAY)
    assert set(records_of(recorded, ModelNames("weekly")).values()) == {1}
    assert set(records_of(recorded).values()) == {2}
    [window] = read_drift_history(recorded, ModelNames("weekly")).windows
    assert (window.window.length, window.result.target_rows) == ("week", 7 * 30)

    # The command of the refusal forgets the reports.
    file.write_text(json.dumps(config_document()))
    home, program, *arguments = shlex.split(str(refused.value).rpartition(" by ")[2])
    assert program == "dagster"
    monkeypatch.setenv(*home.split("=", maxsplit=1))
    wiped = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert wiped.exit_code == 0, wiped.output
    assert records_of(recorded) == {TRANSACTIONS: 0, MONITORING_RUN: 0, DRIFT_REPORT: 0}
    said = document("backfill", "--window", MONDAY)
    assert said["history"][0]["summary"] == "no window has drift of description"
    [window] = read_drift_history(recorded, NAMES).windows
    assert window.window.length == "week"


def test_the_command_names_the_assets_of_a_model_with_a_prefix() -> None:
    config = configuration(asset_prefix="cards", monitoring_window="month")
    asset = ModelNames.of(config).asset(MONITORING_RUN)
    # As an earlier version recorded it, which knew days of UTC alone.
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=MONDAY))
        with pytest.raises(PlatformError) as refused:
            require_same_windows(instance, config)
        *_, last = shlex.split(str(refused.value))
        assert json.loads(last) == ["cards", TRANSACTIONS]
        require_same_windows(instance, configuration(asset_prefix="cards"))
