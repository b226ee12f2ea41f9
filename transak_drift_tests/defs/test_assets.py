"""The assets on a real Dagster instance and the real local platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.config.monitoring_config import MonitoringConfig, load_config
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DAILY_MONITORING_JOB,
    DRIFT_REPORT,
    MODEL_MONITOR,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.settings import Settings

NAMES = ModelNames()

CONFIG_FILE = Path(__file__).parents[2] / "monitoring_config.json"
START = date(2026, 3, 2)
DRIFT_DAY = START + timedelta(days=2)


class Project:
    """The project's definitions with an instance and a directory of their own."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.settings = Settings(
            home=directory / "state", rows_per_day=600, drift_from=DRIFT_DAY, platform="local"
        )
        self.config = load_config(CONFIG_FILE).model_copy(
            update={"start_date": START, "maximum_training_days": 3}
        )

    def run(
        self,
        job: str,
        day: date | None = None,
        run_config: dict[str, Any] | None = None,
        config: MonitoringConfig | None = None,
    ) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(self.settings, [config or self.config])
        return definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=str(day) if day else None,
            run_config=run_config,
            raise_on_error=False,
        )

    def run_checks(self, config: MonitoringConfig | None = None) -> dg.ExecuteInProcessResult:
        """Run the checks of `drift_report` without the asset."""
        checks = dg.AssetSelection.checks_for_assets(NAMES.asset(DRIFT_REPORT))
        job = dg.define_asset_job("checks_alone", selection=checks)
        definitions = build_definitions(self.settings, [config or self.config])
        merged = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
        return merged.resolve_job_def("checks_alone").execute_in_process(instance=self.instance)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with dg.instance_for_test() as instance:
        yield Project(tmp_path, instance)


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    materialization = event.step_materialization_data.materialization
    return {name: value.value for name, value in materialization.metadata.items()}


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    [event] = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    error = event.step_failure_data
    return f"{error.user_failure_data} {error.error}"


def test_the_configuration_is_applied_once_and_a_change_shows_the_difference(
    project: Project,
) -> None:
    first = metadata(project.run(PREPARE_JOB), NAMES.asset(MODEL_MONITOR))
    again = metadata(project.run(PREPARE_JOB), NAMES.asset(MODEL_MONITOR))
    thresholds = {"description": 0.25, "type": 0.3}
    changed_config = project.config.model_copy(update={"drift_thresholds": thresholds})
    changed = metadata(project.run(PREPARE_JOB, config=changed_config), NAMES.asset(MODEL_MONITOR))

    assert first["action"] == "created"
    assert (again["action"], again["changed settings"]) == ("unchanged", 0)
    assert (changed["action"], changed["changed settings"]) == ("updated", 1)
    [row] = (
        [record.data for record in changed["changes"].records]
        if hasattr(changed["changes"], "records")
        else [record.data for record in changed["changes"]]
    )
    assert row == {"setting": "featureThresholds.description", "before": "0.3", "after": "0.25"}


def test_a_day_without_bookings_succeeds_and_passes_its_checks(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "days").mkdir()
    for days in range(2):
        text = "".join(f"shop {n % 5},CARD,{n % 2}\n" for n in range(100))
        path = tmp_path / "days" / f"{START + timedelta(days=days)}.csv"
        path.write_text(f"description,type,category\n{text}")
    changes = {"transactions": str(tmp_path / "days"), "start_date": START + timedelta(days=1)}
    config = project.config.model_copy(update=changes)
    assert project.run(PREPARE_JOB, config=config).success
    sunday = project.run(DAILY_MONITORING_JOB, START + timedelta(days=6), config=config)

    assert sunday.success
    report = metadata(sunday, NAMES.asset(DRIFT_REPORT))
    assert (report["verdict"], report["target rows"]) == ("no bookings on this day", 0)
    checks = sunday.get_asset_check_evaluations()
    assert [check.passed for check in checks] == [True, True]
    assert "no bookings" in str(checks[0].description)


def test_a_drifted_day_is_reported_checked_and_published_and_retraining_ends_it(
    project: Project,
) -> None:
    assert project.run(PREPARE_JOB).success
    quiet = project.run(DAILY_MONITORING_JOB, START)
    drifted = project.run(DAILY_MONITORING_JOB, DRIFT_DAY)

    assert metadata(quiet, NAMES.asset(DRIFT_REPORT))["verdict"] == "no drift"
    assert all(check.passed for check in quiet.get_asset_check_evaluations())
    report = metadata(drifted, NAMES.asset(DRIFT_REPORT))
    assert report["verdict"] == "drift in description, type"
    assert report["type distance"] > report["type threshold"] == 0.3
    assert report["picture"].startswith("![")
    checks = {check.check_name: check for check in drifted.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "description_drift": False,
        "type_drift": False,
    }
    assert {check.partition for check in checks.values()} == {str(DRIFT_DAY)}
    assert checks["type_drift"].severity == dg.AssetCheckSeverity.WARN
    assert "drift message" in metadata(drifted, NAMES.asset(MONITORING_RUN))
    assert "drift message" not in metadata(quiet, NAMES.asset(MONITORING_RUN))

    event = {
        "drift_event": "monitor/job-1",
        "window_end": (DRIFT_DAY + timedelta(days=1)).isoformat() + "T00:00:00+00:00",
    }
    run_config = {"ops": {"train": {"config": event}}}
    trained = project.run(RETRAIN_JOB, run_config=run_config)
    repeated = project.run(RETRAIN_JOB, run_config=run_config)
    model = metadata(trained, NAMES.asset(TRAINED_MODEL))
    assert (model["version"], model["promoted"], model["adopted"]) == ("2", True, False)
    assert metadata(trained, NAMES.asset(BASELINE_DATASET))["last day"] == str(DRIFT_DAY)
    assert model["drift report"] == "/assets/drift_report?view=partitions&partition=2026-03-04"
    assert model["trained until"] == datetime(2026, 3, 5, tzinfo=UTC).timestamp()
    assert metadata(repeated, NAMES.asset(TRAINED_MODEL))["adopted"] is True
    assert metadata(repeated, NAMES.asset(TRAINED_MODEL))["version"] == "2"

    # "Execute all" in the UI starts the checks alone, without a day.
    alone = project.run_checks()
    assert alone.success
    evaluated = {
        (check.partition, check.check_name): check.passed
        for check in alone.get_asset_check_evaluations()
    }
    assert evaluated == {
        (str(day), name): day == START
        for day in (START, DRIFT_DAY)
        for name in ("description_drift", "type_drift")
    }
    tolerant = project.config.model_copy(update={"drift_thresholds": {"type": 0.99}})
    again = project.run_checks(tolerant).get_asset_check_evaluations()
    assert {(check.partition, check.check_name, check.passed) for check in again} == {
        (str(day), "type_drift", True) for day in (START, DRIFT_DAY)
    }

    after = project.run(DAILY_MONITORING_JOB, DRIFT_DAY + timedelta(days=1))
    assert metadata(after, NAMES.asset(DRIFT_REPORT))["verdict"] == "no drift"
    assert all(check.passed for check in after.get_asset_check_evaluations())


def test_the_same_day_monitored_again_is_the_same_drift_event(project: Project) -> None:
    assert project.run(PREPARE_JOB).success
    first = metadata(project.run(DAILY_MONITORING_JOB, DRIFT_DAY), NAMES.asset(MONITORING_RUN))
    again = metadata(project.run(DAILY_MONITORING_JOB, DRIFT_DAY), NAMES.asset(MONITORING_RUN))
    assert first["monitoring job"] == again["monitoring job"]
    assert first["drift message"] != again["drift message"]


def test_a_day_without_an_applied_configuration_fails_with_what_to_do(project: Project) -> None:
    failed = project.run(DAILY_MONITORING_JOB, START)
    assert not failed.success
    assert "materialize model_monitor first" in failure_text(failed)


def test_anomalies_are_not_logged_when_the_configuration_says_so(project: Project) -> None:
    silent = project.config.model_copy(update={"log_anomalies": False})
    assert project.run(PREPARE_JOB, config=silent).success
    result = project.run(DAILY_MONITORING_JOB, DRIFT_DAY, config=silent)
    assert metadata(result, NAMES.asset(DRIFT_REPORT))["verdict"] == "drift in description, type"
    assert "drift message" not in metadata(result, NAMES.asset(MONITORING_RUN))


def test_the_log_entry_is_what_cloud_logging_would_hold(project: Project, tmp_path: Path) -> None:
    assert project.run(PREPARE_JOB).success
    assert project.run(DAILY_MONITORING_JOB, DRIFT_DAY).success
    [log] = (tmp_path / "state").rglob("model_monitoring_anomaly.jsonl")
    [entry] = [json.loads(line) for line in log.read_text().splitlines()]
    assert entry["logName"] == (
        "projects/af-finanzen/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly"
    )
    assert entry["jsonPayload"]["anomalyObjective"] == "RAW_FEATURE_DRIFT"
    assert [f["featureDisplayName"] for f in entry["jsonPayload"]["featureAnomalies"]] == [
        "description",
        "type",
    ]
