"""A directory of monthly CSVs in the recorded form, from one setting to a quiet month again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    REGISTERED_MODEL,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.defs.metadata import newest_materialization
from transak_drift.defs.recorded_reports import read_drift_history
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.settings import load_settings
from transak_drift_tests.cli.commands import call
from transak_drift_tests.config.configurations import CONFIG_FILE, document
from transak_drift_tests.defs.sensor_ticks import SensorTicks

NAMES = ModelNames()
MONTHS = [f"2025-{number:02}" for number in range(1, 9)]
RENAMED = "2025-06"
MERCHANTS = {
    "Migros Zürich": ("groceries", 0.38),
    "Coop-1234 Bern": ("groceries", 0.2),
    "SBB CFF FFS": ("transport", 0.14),
    "Swisscom (Schweiz) AG": ("communication", 0.1),
    "Miete": ("rent", 0.1),
    "Bäckerei Müller, Thun": ("restaurants", 0.08),
}
TYPES = {"Debit card": 0.45, "TWINT": 0.25, "Credit card": 0.15, "Standing order": 0.1, "ATM": 0.05}


def month_of(number: int, month: str) -> pd.DataFrame:
    """Draw a month's rows; a merchant has another name from one month on."""
    random = np.random.default_rng(number)
    rows = int(random.integers(200, 401))
    names, shares = list(MERCHANTS), [share for _, share in MERCHANTS.values()]
    description = random.choice(names, rows, p=shares)
    labels = [MERCHANTS[name][0] for name in description]
    if month >= RENAMED:
        description = np.where(description == names[0], "MGB Filiale 27", description)
    return pd.DataFrame(
        {
            "type": random.choice(list(TYPES), rows, p=list(TYPES.values())),
            "description": description,
            "amount": -random.lognormal(3.2, 1.0, rows).round(2),
            "month": int(month.replace("-", "")),
            "category": labels,
        }
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user works: the shipped configuration, and monthly files beside it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(CONFIG_FILE, tmp_path)
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "state"))
    for name in ("PUBSUB_EMULATOR_HOST", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    # The one setting.
    monkeypatch.setenv("TRANSAK_DRIFT_TRANSACTIONS", str(tmp_path / "months"))
    return tmp_path


def write_months(project: Path, columns: Sequence[str]) -> dict[str, pd.DataFrame]:
    months = {month: month_of(number, month) for number, month in enumerate(MONTHS)}
    (project / "months").mkdir()
    for month, rows in months.items():
        rows[list(columns)].to_csv(project / "months" / f"{month}.csv", index=False)
    return months


def backfill(first: str, last: str) -> dict[str, dict[str, Any]]:
    outcome = call("backfill", "--from", first, "--until", last, "--json")
    assert outcome.exit_code == 0, outcome.output
    return {item["window"]: item for item in json.loads(outcome.stdout)["monitored"]}


class Project:
    """The instance and the definitions that Dagster would load."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        settings = load_settings()
        self.instance = instance
        self.definitions = build_definitions(settings, settings.load_configs())
        resources = self.definitions.resources or {}
        used = {name: resources[name] for name in ("trigger_queue", "platform")}
        sensor = self.definitions.resolve_sensor_def(SENSOR_NAME)
        self.sensor = SensorTicks(instance, sensor, used)

    def results(self) -> dict[str, MonitoringResult]:
        history = read_drift_history(self.instance, NAMES)
        return {recorded.window.key: recorded.result for recorded in history.windows}

    def recorded(self, asset: str) -> dict[str, Any]:
        found = newest_materialization(self.instance, NAMES.asset(asset))
        assert found is not None
        return {name: value.value for name, value in found.metadata.items()}


@contextmanager
def opened(project: Path) -> Generator[Project]:
    home = str(project / "state" / "dagster_home")
    with dg.DagsterInstance.from_config(home) as instance:
        yield Project(project, instance)


def l_infinity(baseline: pd.Series, target: pd.Series) -> float:
    sides = [side.value_counts(normalize=True) for side in (baseline, target)]
    return sides[0].subtract(sides[1], fill_value=0).abs().max()


def jensen_shannon(baseline: pd.Series, target: pd.Series) -> float:
    """Compare ten equal buckets of each, on the grid of both, in bits."""
    grid = np.unique(np.concatenate([np.histogram_bin_edges(s, 10) for s in (baseline, target)]))
    shares = []
    for side in (baseline, target):
        counts, edges = np.histogram(side, 10)
        cumulated = np.interp(grid, edges, np.concatenate([[0], np.cumsum(counts)]))
        shares.append(np.diff(cumulated) / len(side))
    mean = np.mean(shares, axis=0)
    terms = [share[share > 0] * np.log2(share[share > 0] / mean[share > 0]) for share in shares]
    return float(sum(term.sum() for term in terms) / 2)


def assert_equal_to_pandas(result: MonitoringResult, baseline: pd.DataFrame, rows: pd.DataFrame):
    assert (result.baseline_rows, result.target_rows) == (len(baseline), len(rows))
    for found in result.features:
        compute = jensen_shannon if found.feature == "amount" else l_infinity
        expected = compute(baseline[found.feature], rows[found.feature])
        assert found.distance == pytest.approx(expected, abs=1e-9), found.feature


@pytest.mark.parametrize("has_labels", [True, False], ids=["labels", "no labels"])
def test_months_from_one_setting_drift_train_and_are_quiet_again(
    project: Path, has_labels: bool
) -> None:
    columns = ["type", "description", "amount", "month"]
    months = write_months(project, [*columns, "category"] if has_labels else columns)
    if has_labels:
        thresholds = {"description": 0.3, "type": 0.3, "amount": 0.3}
        (project / "monitoring_config.json").write_text(
            json.dumps(document(drift_thresholds=thresholds))
        )
    check = call("config", "check")
    assert "months: 8 month(s), 2025-01 to 2025-08; " in check.stdout

    with ensure_embedded_pubsub(project / "state" / "pubsub"):
        before = backfill(MONTHS[0], RENAMED)
        assert [month for month, item in before.items() if item["drift_message"]] == [RENAMED]
        with opened(project) as loaded:
            # The first half of the months is the first baseline.
            first_half = pd.concat(months[month] for month in MONTHS[:4])
            for month, result in loaded.results().items():
                assert_equal_to_pandas(result, first_half, months[month])
                drifted = ["description"] if month == RENAMED else []
                assert [feature.feature for feature in result.drifted] == drifted
            version = "1" if has_labels else "none"
            assert loaded.recorded(REGISTERED_MODEL)["version"] == version
            [key] = loaded.sensor.tick_and_train(loaded.definitions)
            trained = loaded.recorded(TRAINED_MODEL)
            assert (trained["drift event"], trained["promoted"]) == (key, True)
            assert trained["version"] == ("2" if has_labels else "1")
            if has_labels:
                assert "not worse on recent rows" in trained["reason"]
            else:
                assert trained["reason"] == (
                    "no classifier was trained, as the transactions have no column 'category' to "
                    "learn from (label_column names it); what drifted is the new baseline"
                )
            new = loaded.recorded(BASELINE_DATASET)
            assert (new["first day"], new["last day"]) == ("2025-06-01", "2025-06-30")

        after = backfill(MONTHS[MONTHS.index(RENAMED) + 1], MONTHS[-1])
        assert not any(item["drift_message"] for item in after.values())
        with opened(project) as loaded:
            results = loaded.results()
            for month in after:
                assert_equal_to_pandas(results[month], months[RENAMED], months[month])
            assert loaded.sensor.tick().run_requests == []
            trainings = loaded.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
            assert [run.status for run in trainings] == [dg.DagsterRunStatus.SUCCESS]
