"""The checks of a window's data, by the local platform on files and a real Dagster instance."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from transak_drift.config.sections import DataQuality
from transak_drift.definitions import build_definitions
from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration

# A Monday.
FIRST_DAY = date(2026, 3, 2)
REPORT = ModelNames().asset(keys.DRIFT_REPORT)
QUALITY = ["missing_values", "unseen_values", "row_count", "column_types"]


def write(file: Path, rows: list[tuple[str, str, str]]) -> None:
    text = "".join(f"{','.join(row)}\n" for row in rows)
    file.write_text(f"description,type,amount\n{text}")


def usual(rows: int) -> list[tuple[str, str, str]]:
    types = ("CARD", "CARD", "TRANSFER", "")
    return [(f"Shop {n % 7}", types[n % 4], f"{n % 40 - 20}.50") for n in range(rows)]


class Project:
    """Days in a directory of CSV files, and the jobs over them."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        self.days = directory / "days"
        self.days.mkdir()
        self.instance = instance
        self.settings = Settings(home=directory / "state", platform="local")
        self.config = configuration(
            start_date=str(FIRST_DAY),
            transactions=str(self.days),
            drift_thresholds={"description": 0.9, "type": 0.9, "amount": 0.9},
        )
        write(self.days / "baseline.csv", usual(2_000))

    def run(self, job: str, *days: date, **changes: Any) -> list[dg.ExecuteInProcessResult]:
        definitions = build_definitions(self.settings, [self.config.model_copy(update=changes)])
        alone = dg.define_asset_job("checks", dg.AssetSelection.checks_for_assets(REPORT))
        definitions = dg.Definitions.merge(definitions, dg.Definitions(jobs=[alone]))
        return [
            definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance, partition_key=str(day) if day else None
            )
            for day in days or (None,)
        ]

    def checks(self, result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
        found = result.get_asset_check_evaluations()
        return {it.check_name: it for it in found if it.check_name in QUALITY}


def test_what_is_wrong_with_a_windows_data_warns_with_what_to_do_and_trains_nothing(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project = Project(tmp_path, instance)
    days = [FIRST_DAY + timedelta(days=number) for number in range(6)]
    for day in days[:4]:
        write(project.days / f"{day}.csv", usual(300))
    few = usual(60)
    faulty = [
        (f"New {n}" if n < 20 else text, "" if n < 40 else kind, amount)
        for n, (text, kind, amount) in enumerate(few)
    ]
    write(project.days / f"{days[4]}.csv", faulty)
    # A Saturday, of which no other was before: its rows are compared with none.
    coded = [(text, str(len(kind)), amount) for text, kind, amount in few]
    write(project.days / f"{days[5]}.csv", coded)
    project.run(keys.PREPARE_JOB)
    job = keys.window_job(project.config)
    *quiet, wrong, saturday = project.run(job, *days)

    for result in quiet:
        checks = project.checks(result)
        assert list(checks) == QUALITY
        assert all(check.passed for check in checks.values())
    checks = project.checks(wrong)
    texts = {name: check.description or "" for name, check in checks.items() if not check.passed}
    assert list(texts) == ["missing_values", "unseen_values", "row_count"]
    assert {check.severity for check in checks.values()} == {dg.AssetCheckSeverity.WARN}
    assert {check.partition for check in checks.values()} == {str(days[4])}
    assert texts["missing_values"].startswith("type: 75.0% of values missing, 25.0% in the base")
    assert "description: 33.3% of values not in the baseline (such as" in texts["unseen_values"]
    assert texts["row_count"].startswith("60 rows, 300 are usual")
    assert all(text.endswith("this check trains nothing") for text in texts.values())
    checks = project.checks(saturday)
    assert checks["row_count"].passed
    assert (checks["column_types"].description or "").startswith(
        "type: 0% of the baseline's values are numbers, 100% of the window's. Write the column"
    )
    # No message to the trigger: nothing trains.
    for result in (wrong, saturday):
        [run] = [
            event.step_materialization_data.materialization
            for event in result.get_asset_materialization_events()
            if event.asset_key == ModelNames().asset(keys.MONITORING_RUN)
        ]
        assert keys.MESSAGE_METADATA not in run.metadata


def test_the_report_has_the_quality_and_execute_all_judges_it_by_the_present_limits(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project = Project(tmp_path, instance)
    days = [FIRST_DAY + timedelta(days=number) for number in range(4)]
    for day in days:
        write(project.days / f"{day}.csv", usual(300 if day != days[-1] else 200))
    project.run(keys.PREPARE_JOB)
    *_, last = project.run(keys.window_job(project.config), *days)
    [report] = [
        event.step_materialization_data.materialization.metadata
        for event in last.get_asset_materialization_events()
        if event.asset_key == REPORT
    ]
    assert report["data quality"].value == "nothing to report"
    assert report["usual rows"].value == 300.0
    features = report["data quality of features"]
    assert isinstance(features, dg.TableMetadataValue)
    assert features.records[1].data == {
        "feature": "type",
        "missing": 0.25,
        "in the baseline": 0.25,
        "unseen": 0.0,
        "expected": 0.0,
        "type change": "",
        "note": "",
    }
    page = Path(str(report[keys.PAGE_METADATA].value)).read_text()
    assert 'Data quality: <span class="ok">ok</span>' in page

    [again] = project.run("checks", data_quality=DataQuality(row_count_factor=1.2))
    failed = [it for it in again.get_asset_check_evaluations() if not it.passed]
    assert [(it.check_name, it.partition) for it in failed] == [("row_count", str(days[-1]))]
    off = DataQuality(maximum_missing_share=None, column_types=False)
    [again] = project.run("checks", data_quality=off)
    assert project.checks(again).keys() == {"unseen_values", "row_count"}
