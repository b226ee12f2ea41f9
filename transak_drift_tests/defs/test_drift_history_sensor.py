"""The drift history follows the reports by itself: ticks and runs on a real instance."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.definitions import build_definitions
from transak_drift.defs.history import SENSOR_NAME
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_HISTORY,
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    LAST_DAY_METADATA,
    MODEL_HISTORY,
    PAGE_METADATA,
    REGISTERED_MODEL,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.defs.local_resources import local_platform_resource
from transak_drift.defs.recorded_reports import (
    RESULT_METADATA,
    check_evaluations,
    read_drift_history,
    recorded_window,
    report_metadata,
)
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.reports.report_results import (
    DRIFTED,
    HOSTILE,
    TYPE,
    feature_drift,
    result_of,
)

NAMES = ModelNames()
FIRST = date(2026, 4, 10)
SECOND_MODEL = "transak_i2"


def metadata_of(day: date, distance: float | None) -> dict[str, Any]:
    result = result_of(feature_drift("description", distance), TYPE, day=day)
    return {RESULT_METADATA: dg.MetadataValue.json(result.model_dump(mode="json"))}


class Reports:
    """Reports as they are recorded, and what the daemon makes of them."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        other = configuration(
            asset_prefix=SECOND_MODEL,
            model_name=SECOND_MODEL,
            monitoring_job_display_name=SECOND_MODEL,
            model_monitor_id="transak-i2",
        )
        self.instance = instance
        self.definitions = build_definitions(Settings(home=directory), [configuration(), other])

    def record(
        self,
        day: date,
        description: float | None = None,
        metadata: dict[str, Any] | None = None,
        names: ModelNames = NAMES,
    ) -> None:
        """Record a report as `monitoring_results_sensor` does."""
        metadata = metadata or metadata_of(day, description)
        report = names.asset(DRIFT_REPORT)
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(report, partition=str(day), metadata=metadata)
        )

    def promote(self) -> None:
        metadata = {"model version": "2", LAST_DAY_METADATA: "2026-04-12"}
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(NAMES.asset(BASELINE_DATASET), metadata=metadata)
        )

    def tick(self, sensor: str = SENSOR_NAME) -> dg.RunRequest | str:
        context = dg.build_sensor_context(instance=self.instance, sensor_name=sensor)
        result = self.definitions.resolve_sensor_def(sensor)(context)
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        assert isinstance(result, dg.RunRequest)
        return result

    def refresh(self, job: str = DRIFT_HISTORY_JOB, asset: str = DRIFT_HISTORY) -> dict[str, Any]:
        outcome = self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance)
        made = [
            event.step_materialization_data.materialization
            for event in outcome.get_asset_materialization_events()
        ]
        [found] = [item for item in made if item.asset_key.path[-1] == asset]
        return dict(found.metadata)


@pytest.fixture
def reports(tmp_path: Path, instance: dg.DagsterInstance) -> Reports:
    return Reports(tmp_path, instance)


def test_each_new_report_and_baseline_is_followed_by_one_refresh(reports: Reports) -> None:
    assert reports.tick() == "the history has each report"
    reports.record(FIRST, 0.1)
    reports.record(FIRST + timedelta(days=1), None)
    reports.record(FIRST + timedelta(days=2), 0.52)
    first = reports.tick()
    assert isinstance(first, dg.RunRequest)
    # Until the run has ended the same request is made, which its key makes harmless.
    assert reports.tick() == first

    metadata = reports.refresh()
    sentence = "drift of description began on 2026-04-12 (0.52 > 0.3) and still stands"
    assert metadata["drift of description"].value == sentence
    assert metadata["drift of type"].value == "no window has drift of type"
    assert metadata["picture"].value.startswith("![")
    rows = [record.data for record in metadata["windows"].records]
    assert [row["window"] for row in rows] == ["2026-04-12", "2026-04-11", "2026-04-10"]
    assert [row["description"] for row in rows] == [0.52, None, 0.1]
    page = Path(metadata[PAGE_METADATA].value)
    assert "2026-04-12 (0.52 &gt; 0.3)" in page.read_text(encoding="utf-8")
    assert page.parent.name == "monitoring_jobs"
    assert reports.tick() == "the history has each report"

    reports.promote()
    after = reports.tick()
    assert isinstance(after, dg.RunRequest)
    assert after.run_key != first.run_key
    reports.refresh()
    reports.record(FIRST + timedelta(days=3), 0.05)
    assert isinstance(reports.tick(), dg.RunRequest)
    assert "and ended" in reports.refresh()["drift of description"].value


def test_the_history_of_versions_says_what_came_of_each(reports: Reports) -> None:
    assert "No training is recorded yet" in _page(reports.refresh(asset=MODEL_HISTORY))
    registered = {"version": "1", "created by this run": True, "detail": "the first version"}
    rejected = {
        "version": "2",
        "promoted": False,
        "reason": f"worse on historical rows; {HOSTILE}",
        "drift event": "monitor/1",
        "first day": "2026-04-10",
        LAST_DAY_METADATA: "2026-04-10",
    }
    for name, metadata in ((REGISTERED_MODEL, registered), (TRAINED_MODEL, rejected)):
        reports.instance.report_runless_asset_event(
            dg.AssetMaterialization(NAMES.asset(name), metadata=metadata)
        )
    assert isinstance(reports.tick(), dg.RunRequest)
    reports.record(FIRST, 0.52)
    reports.record(FIRST + timedelta(days=1), 0.1)
    # A training that is adopted is no other version.
    again = dg.AssetMaterialization(NAMES.asset(TRAINED_MODEL), metadata=rejected)
    reports.instance.report_runless_asset_event(again)

    metadata = reports.refresh(asset=MODEL_HISTORY)

    newest, first = [record.data for record in metadata["versions"].records]
    found = (first["version"], first["outcome"], first["reason"])
    assert found == ("1", "promoted", "the first version")
    assert (newest["version"], newest["outcome"]) == ("2", "not promoted")
    assert newest["trained on"] == "2026-04-10 to 2026-04-10"
    assert newest["drift before"] == "2026-04-10: description 0.5200 (drift), type 0.0400"
    assert newest["drift after"] == "2026-04-11: description 0.1000, type 0.0400"
    page = _page(metadata)
    assert "not promoted" in page and "&lt;script&gt;" in page and HOSTILE not in page
    reports.refresh()
    assert reports.tick() == "the history has each report"


def _page(metadata: dict[str, Any]) -> str:
    return Path(metadata[PAGE_METADATA].value).read_text(encoding="utf-8")


def test_it_waits_for_days_that_are_being_monitored_but_not_for_ever(reports: Reports) -> None:
    reports.record(FIRST, 0.1)
    started = dg.DagsterRunStatus.STARTED
    run = dg.DagsterRun(job_name="daily_monitoring", run_id="running", status=started)
    reports.instance.add_run(run)
    assert reports.tick() == "1 run(s) monitor windows; their reports follow"
    reports.instance.report_run_failed(run)
    assert isinstance(reports.tick(), dg.RunRequest)


def test_models_have_histories_of_their_own(reports: Reports) -> None:
    names = ModelNames(SECOND_MODEL)
    reports.record(FIRST, 0.9, names=names)
    assert reports.tick() == "the history has each report"
    request = reports.tick(f"{SECOND_MODEL}_{SENSOR_NAME}")
    assert isinstance(request, dg.RunRequest)
    metadata = reports.refresh(f"{SECOND_MODEL}_{DRIFT_HISTORY_JOB}")
    assert metadata["windows with a report"].value == 1
    assert "2026-04-10 (0.90 > 0.3)" in metadata["drift of description"].value
    assert "transak-i2" in metadata[PAGE_METADATA].value
    assert reports.refresh()["windows with a report"].value == 0


def test_the_newest_report_of_a_day_counts_and_no_record_is_passed_over(
    reports: Reports, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transak_drift.defs.recorded_reports._RECORDS_PER_QUERY", 2)
    for number in range(5):
        reports.record(FIRST + timedelta(days=number), 0.9)
    reports.record(FIRST, 0.1)
    # Reports of another version are passed over; a day that has no other is named.
    later = {"job_name": "of a later version"}
    reports.record(FIRST, metadata={RESULT_METADATA: dg.MetadataValue.json(later)})
    reports.record(FIRST - timedelta(days=1), metadata={"verdict": "no drift"})
    reports.promote()
    history = read_drift_history(reports.instance, NAMES)
    found = [day.distance for day in history.distances("description")]
    assert found == [0.1, 0.9, 0.9, 0.9, 0.9]
    assert [(item.day, item.version) for item in history.promotions] == [(date(2026, 4, 13), "2")]
    assert f"monitor again: ['{FIRST - timedelta(days=1)}']" in caplog.text


def test_a_report_is_read_back_as_it_was_recorded(tmp_path: Path) -> None:
    config = configuration()
    platform = local_platform_resource(Settings(home=tmp_path))
    exact = DRIFTED.model_copy(
        update={"features": (DRIFTED.features[0].model_copy(update={"distance": 0.3 + 1e-13}),)}
    )
    metadata = report_metadata(config, platform, exact)
    recorded = recorded_window(
        dg.AssetMaterialization("drift_report", partition=exact.window.key, metadata=metadata)
    )
    assert recorded is not None
    assert recorded.result == exact
    assert recorded.page == str(metadata[PAGE_METADATA].value)
    # People read fewer digits.
    assert metadata["description distance"] == 0.3
    [check] = check_evaluations(config, exact.features, exact.window.key)
    assert not check.passed
    assert check.description is not None
    assert check.description.startswith("0.3000000000001 > 0.3: ")
    assert check.metadata["distance"].value == 0.3
