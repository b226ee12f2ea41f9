"""The assets on a real Dagster instance and the real local platform."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.config.sections import DataQuality
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_REPORT,
    MODEL_MONITOR,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.defs.metadata import failure_message
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration

NAMES = ModelNames()

CHECKS_ALONE = "checks_alone"
START = date(2026, 3, 2)
DRIFT_DAY = START + timedelta(days=2)


class Project:
    """The project's definitions with an instance and a directory of their own."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        self.directory = directory
        self.instance = instance
        self.settings = Settings(
            home=directory / "state", rows_per_day=600, drift_from=DRIFT_DAY, platform="local"
        )
        self.config = configuration(start_date=str(START), maximum_training_days=3)

    def run(
        self,
        job: str,
        day: date | None = None,
        run_config: dict[str, Any] | None = None,
        **changes: Any,
    ) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(self.settings, [self.config.model_copy(update=changes)])
        if job == CHECKS_ALONE:
            checks = dg.AssetSelection.checks_for_assets(NAMES.asset(DRIFT_REPORT))
            alone = dg.define_asset_job(job, selection=checks)
            definitions = dg.Definitions.merge(definitions, dg.Definitions(jobs=[alone]))
        return definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=str(day) if day else None,
            run_config=run_config,
            raise_on_error=False,
        )


@pytest.fixture
def project(tmp_path: Path, instance: dg.DagsterInstance) -> Project:
    return Project(tmp_path, instance)


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    materialization = event.step_materialization_data.materialization
    return {name: value.value for name, value in materialization.metadata.items()}


def test_a_day_without_bookings_passes_its_checks_once_the_configuration_is_applied(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "days").mkdir()
    for days in range(2):
        text = "".join(f"shop {n % 5},CARD,{n % 2}\n" for n in range(100))
        path = tmp_path / "days" / f"{START + timedelta(days=days)}.csv"
        path.write_text(f"description,type,category\n{text}")
    changes: dict[str, Any] = {
        "transactions": str(tmp_path / "days"),
        "start_date": START + timedelta(days=1),
    }
    failed = project.run("daily_monitoring", START + timedelta(days=6), **changes)
    [event] = failed.filter_events(lambda event: event.is_step_failure)
    assert "materialize model_monitor first" in (failure_message(event) or "")
    assert project.run(PREPARE_JOB, **changes).success
    sunday = project.run("daily_monitoring", START + timedelta(days=6), **changes)

    assert sunday.success
    report = metadata(sunday, NAMES.asset(DRIFT_REPORT))
    assert (report["verdict"], report["target rows"]) == ("no bookings in this window", 0)
    checks = sunday.get_asset_check_evaluations()
    assert [check.passed for check in checks] == [True] * 6
    assert "no bookings" in str(checks[0].description)


def test_a_drifted_day_is_reported_checked_and_published_and_retraining_ends_it(
    project: Project,
) -> None:
    def apply(**changes: Any) -> dict[str, Any]:
        return metadata(project.run(PREPARE_JOB, **changes), NAMES.asset(MODEL_MONITOR))

    assert apply()["action"] == "created"
    again = apply()
    changed = apply(drift_thresholds={"description": 0.25, "type": 0.3})
    assert (again["action"], again["changed settings"]) == ("unchanged", 0)
    assert (changed["action"], changed["changed settings"]) == ("updated", 1)
    [row] = changed["changes"].records
    setting = "featureThresholds.description"
    assert row.data == {"setting": setting, "before": "0.3", "after": "0.25"}
    assert apply()["action"] == "updated"

    quiet = project.run("daily_monitoring", START)
    drifted = project.run("daily_monitoring", DRIFT_DAY)

    assert metadata(quiet, NAMES.asset(DRIFT_REPORT))["verdict"] == "no drift"
    assert all(check.passed for check in quiet.get_asset_check_evaluations())
    report = metadata(drifted, NAMES.asset(DRIFT_REPORT))
    assert report["verdict"] == "drift in description, type"
    assert report["type distance"] > report["type threshold"] == 0.3
    assert report["picture"].startswith("![")
    checks = {check.check_name: check for check in drifted.get_asset_check_evaluations()}
    quality = ["missing_values", "unseen_values", "row_count", "column_types"]
    assert list(checks) == ["description_drift", "type_drift", *quality]
    # The booking type that drifts in is one that the baseline lacks.
    wrong = {"description_drift", "type_drift", "unseen_values"}
    for name, check in checks.items():
        assert (check.passed, check.partition) == (name not in wrong, str(DRIFT_DAY))
        assert check.severity == dg.AssetCheckSeverity.WARN
    assert "drift message" not in metadata(quiet, NAMES.asset(MONITORING_RUN))

    again = metadata(project.run("daily_monitoring", DRIFT_DAY), NAMES.asset(MONITORING_RUN))
    first = metadata(drifted, NAMES.asset(MONITORING_RUN))
    assert first["monitoring job"] == again["monitoring job"], "the same drift event"
    assert first["drift message"] != again["drift message"]
    [log] = (project.directory / "state").rglob("model_monitoring_anomaly.jsonl")
    entry = json.loads(log.read_text().splitlines()[0])
    assert entry["logName"] == (
        "projects/af-finanzen/logs/aiplatform.googleapis.com%2Fmodel_monitoring_anomaly"
    )
    assert entry["jsonPayload"]["anomalyObjective"] == "RAW_FEATURE_DRIFT"
    features = entry["jsonPayload"]["featureAnomalies"]
    assert [item["featureDisplayName"] for item in features] == ["description", "type"]

    unlogged = project.run("daily_monitoring", DRIFT_DAY, log_anomalies=False)
    assert metadata(unlogged, NAMES.asset(DRIFT_REPORT))["verdict"] == report["verdict"]
    assert "drift message" not in metadata(unlogged, NAMES.asset(MONITORING_RUN))

    event = {
        "drift_event": "monitor/job-1",
        "window_end": (DRIFT_DAY + timedelta(days=1)).isoformat() + "T00:00:00+00:00",
    }
    run_config = {"ops": {"train": {"config": event}}}
    trained = project.run(RETRAIN_JOB, run_config=run_config)
    repeated = project.run(RETRAIN_JOB, run_config=run_config)
    model, same = (metadata(run, NAMES.asset(TRAINED_MODEL)) for run in (trained, repeated))
    assert (model["version"], model["promoted"], model["adopted"]) == ("2", True, False)
    assert metadata(trained, NAMES.asset(BASELINE_DATASET))["last day"] == str(DRIFT_DAY)
    assert model["drift report"] == "/assets/drift_report?view=partitions&partition=2026-03-04"
    assert model["trained until"] == datetime(2026, 3, 5, tzinfo=UTC).timestamp()
    assert (same["version"], same["adopted"]) == ("2", True)
    assert model["recent rows"].startswith("macro F1 0.")
    assert model["historical rows"].startswith("macro F1 0.")
    assert model["picture"].startswith("![Confusion matrices")
    page = Path(model["report page"]).read_text(encoding="utf-8")
    assert "Version <bdi>2</bdi> of" in page and "not worse on historical rows" in page

    # "Execute all" in the UI starts the checks alone, without a day.
    def evaluated(**changes: Any) -> set[tuple[str | None, str, bool]]:
        found = project.run(CHECKS_ALONE, **changes).get_asset_check_evaluations()
        return {(check.partition, check.check_name, check.passed) for check in found}

    days = (START, DRIFT_DAY)
    assert evaluated() == {
        (str(day), name, day == START or name not in wrong) for day in days for name in checks
    }
    limits = DataQuality(maximum_unseen_share=0.9)
    tolerated = evaluated(drift_thresholds={"type": 0.99}, data_quality=limits)
    assert tolerated == {
        (str(day), name, True) for day in days for name in ("type_drift", *quality)
    }

    after = project.run("daily_monitoring", DRIFT_DAY + timedelta(days=1))
    assert metadata(after, NAMES.asset(DRIFT_REPORT))["verdict"] == "no drift"
    assert all(check.passed for check in after.get_asset_check_evaluations())
