"""The README's first command, as a user runs it (on fewer rows)."""

from __future__ import annotations

from pathlib import Path

import pytest

from transak_drift_tests.cli.commands import document


@pytest.mark.parametrize(
    ("options", "rows_per_day"), [((), 400), (("--window", "month"), 100)], ids=["day", "month"]
)
def test_the_demo_closes_the_loop_and_tells_what_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], rows_per_day: int
) -> None:
    # What the demo sets itself is set here as well, so that the next test has it no more.
    for name in ("TRANSAK_DRIFT_PLATFORM", "TRANSAK_DRIFT_DRIFT_FROM", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS", "")
    monkeypatch.setenv("TRANSAK_DRIFT_MONITORING_WINDOW", "")
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TRANSAK_DRIFT_ROWS_PER_DAY", str(rows_per_day))
    report = document("demo", *options)
    windows, drifted_key = report["windows"], report["drift_window"]
    assert len(drifted_key) == (len("2026-08") if options else len("2026-08-27"))
    assert [item["window"] for item in windows if item["drifted"]] == [drifted_key]
    [drifted] = [item for item in windows if item["drifted"]]
    assert {feature["feature"] for feature in drifted["features"]} == {"description", "type"}
    assert all(f["distance"] > f["threshold"] for f in drifted["features"])
    afterwards = [item for item in windows if item["window"] > drifted_key]
    assert afterwards
    assert all(f["distance"] < f["threshold"] for day in afterwards for f in day["features"])
    assert (report["model_version_before"], report["model_version_after"]) == ("1", "2")
    assert {day["model_version"] for day in afterwards} == {"2"}
    assert report["message_id"]
    assert report["retrain_run_id"]
