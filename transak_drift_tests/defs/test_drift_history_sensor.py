"""The drift history follows the reports by itself: ticks and runs on a real instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.assemble import assemble_definitions
from transak_drift.config.monitoring_config import load_config
from transak_drift.defs.drift_history_sensor import SENSOR_NAME
from transak_drift.defs.names import (
    DAILY_MONITORING_JOB,
    DRIFT_HISTORY_JOB,
    PAGE_METADATA,
    TRAINED_UNTIL_METADATA,
    ModelNames,
)
from transak_drift.defs.recorded_reports import read_recorded_history
from transak_drift.settings import Settings

NAMES = ModelNames()
FIRST = date(2026, 4, 10)
SECOND_MODEL = "transak_i2"


class Reports:
    """Reports as they are recorded, and what the daemon makes of them."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        config = load_config(Path(__file__).parents[2] / "monitoring_config.json")
        other = config.model_copy(
            update={
                "asset_prefix": SECOND_MODEL,
                "model_name": SECOND_MODEL,
                "monitoring_job_display_name": SECOND_MODEL,
                "model_monitor_id": "transak-i2",
            }
        )
        self.instance = instance
        self.directory = directory
        self.definitions = assemble_definitions(Settings(home=directory), [config, other])

    def record(
        self, day: date, description: float | None, type_: float = 0.1, names: ModelNames = NAMES
    ) -> None:
        """Record a report as `monitoring_results_sensor` does."""
        metadata: dict[str, Any] = {
            "verdict": "as it is",
            "description threshold": 0.3,
            "type threshold": 0.3,
            "type distance": type_,
        }
        if description is not None:
            metadata["description distance"] = description
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(names.drift_report, partition=str(day), metadata=metadata)
        )

    def promote(self, until: datetime) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                NAMES.baseline_dataset,
                metadata={
                    "model version": "2",
                    TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(until),
                },
            )
        )

    def tick(self, sensor: str = SENSOR_NAME) -> dg.RunRequest | str:
        context = dg.build_sensor_context(instance=self.instance, sensor_name=sensor)
        result = self.definitions.resolve_sensor_def(sensor)(context)
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        assert isinstance(result, dg.RunRequest)
        return result

    def refresh(self, job: str = DRIFT_HISTORY_JOB) -> dict[str, Any]:
        outcome = self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance)
        [event] = outcome.get_asset_materialization_events()
        return dict(event.step_materialization_data.materialization.metadata)


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    with dg.instance_for_test() as instance:
        yield Reports(tmp_path, instance)


def test_each_new_report_and_baseline_is_followed_by_one_refresh(reports: Reports) -> None:
    assert reports.tick() == "the history has each report"
    reports.record(FIRST, 0.1)
    reports.record(FIRST + timedelta(days=1), None)
    reports.record(FIRST + timedelta(days=2), 0.52)
    first = reports.tick()
    assert isinstance(first, dg.RunRequest)
    # Until the run has ended the same request is made, which its key makes harmless.
    again = reports.tick()
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == first.run_key

    metadata = reports.refresh()
    sentence = "drift of description began on 2026-04-12 (0.52 > 0.3) and still stands"
    assert metadata["drift of description"].value == sentence
    assert metadata["drift of type"].value == "no day has drift of type"
    assert metadata["picture"].value.startswith("![")
    rows = [record.data for record in metadata["days"].records]
    assert [row["day"] for row in rows] == ["2026-04-12", "2026-04-11", "2026-04-10"]
    assert [row["description"] for row in rows] == [0.52, None, 0.1]
    page = Path(metadata[PAGE_METADATA].value)
    assert "2026-04-12 (0.52 &gt; 0.3)" in page.read_text(encoding="utf-8")
    assert page.parent.name == "monitoring_jobs"
    assert reports.tick() == "the history has each report"

    reports.promote(datetime(2026, 4, 13, tzinfo=UTC))
    after = reports.tick()
    assert isinstance(after, dg.RunRequest)
    assert after.run_key != first.run_key
    reports.refresh()
    reports.record(FIRST + timedelta(days=3), 0.05)
    assert isinstance(reports.tick(), dg.RunRequest)
    assert "and ended" in reports.refresh()["drift of description"].value


def test_it_waits_for_days_that_are_being_monitored_but_not_for_ever(reports: Reports) -> None:
    reports.record(FIRST, 0.1)
    reports.instance.add_run(
        dg.DagsterRun(
            job_name=DAILY_MONITORING_JOB, run_id="running", status=dg.DagsterRunStatus.STARTED
        )
    )
    assert reports.tick() == "1 day(s) are being monitored; their reports follow"
    [run] = reports.instance.get_runs()
    reports.instance.report_run_failed(run)
    assert isinstance(reports.tick(), dg.RunRequest)


def test_models_have_histories_of_their_own(reports: Reports) -> None:
    names = ModelNames(SECOND_MODEL)
    reports.record(FIRST, 0.9, names=names)
    assert reports.tick() == "the history has each report"
    request = reports.tick(f"{SECOND_MODEL}_{SENSOR_NAME}")
    assert isinstance(request, dg.RunRequest)
    metadata = reports.refresh(f"{SECOND_MODEL}_{DRIFT_HISTORY_JOB}")
    assert metadata["days with a report"].value == 1
    assert "2026-04-10 (0.90 > 0.3)" in metadata["drift of description"].value
    assert "transak-i2" in metadata[PAGE_METADATA].value
    assert reports.refresh()["days with a report"].value == 0


def test_the_newest_report_of_a_day_counts_and_no_record_is_passed_over(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transak_drift.defs.recorded_reports._RECORDS_PER_QUERY", 2)
    for number in range(5):
        reports.record(FIRST + timedelta(days=number), 0.9)
    reports.record(FIRST, 0.1)
    reports.promote(datetime(2026, 4, 13, tzinfo=UTC))
    history = read_recorded_history(reports.instance, NAMES, ["description"])
    found = [day.distances["description"].distance for day in history.days]
    assert found == [0.1, 0.9, 0.9, 0.9, 0.9]
    assert [(item.day, item.version) for item in history.promotions] == [(date(2026, 4, 13), "2")]
