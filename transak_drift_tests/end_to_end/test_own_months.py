"""A directory of monthly CSVs in the recorded form, from one setting to a quiet month again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from transak_drift.cli.model_jobs import ModelJobs
from transak_drift.config.errors import ConfigError
from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    PREPARE_JOB,
    REGISTERED_MODEL,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.defs.metadata import newest_materialization
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


class Project:
    """What Dagster loads, on an instance of its own."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        settings = load_settings()
        [self.config] = settings.load_configs()
        self.instance = instance
        self.definitions = build_definitions(settings, [self.config])
        self.jobs = ModelJobs(instance, self.definitions, self.config)
        resources = self.definitions.resources or {}
        used = {name: resources[name] for name in ("trigger_queue", "platform")}
        sensor = self.definitions.resolve_sensor_def(SENSOR_NAME)
        self.sensor = SensorTicks(instance, sensor, used)

    def monitor(self, *months: str) -> dict[str, MonitoringResult]:
        """Monitor months, and return their results; a drift message is published of each drift."""
        results = {}
        for found in self.jobs.monitor([self.config.windows.parse(month) for month in months]):
            assert found.report is not None, found.error
            result = found.report.result
            assert (found.message is not None) == bool(result.drifted)
            results[found.window.key] = result
        return results

    def recorded(self, asset: str) -> dict[str, Any]:
        found = newest_materialization(self.instance, NAMES.asset(asset))
        assert found is not None
        return {name: value.value for name, value in found.metadata.items()}


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


def l_infinity_by_chance(baseline: pd.Series, rows: int) -> float:
    """Draw 100,000 windows from the baseline, and return what 5 % of them exceed."""
    shares = baseline.value_counts(normalize=True).to_numpy()
    drawn = np.random.default_rng(5).multinomial(rows, shares, 100_000) / rows
    return float(np.quantile(np.abs(drawn - shares).max(axis=1), 0.95))


def assert_equal_to_pandas(result: MonitoringResult, baseline: pd.DataFrame, rows: pd.DataFrame):
    assert (result.baseline_rows, result.target_rows) == (len(baseline), len(rows))
    for found in result.features:
        compute = jensen_shannon if found.feature == "amount" else l_infinity
        expected = compute(baseline[found.feature], rows[found.feature])
        assert found.distance == pytest.approx(expected, abs=1e-9), found.feature
        if result.window.key == RENAMED and found.feature != "amount":
            by_chance = l_infinity_by_chance(baseline[found.feature], len(rows))
            assert found.by_chance == pytest.approx(by_chance, rel=0.05), found.feature


def test_files_of_other_windows_than_are_monitored_are_refused_at_load(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_months(project, ["type", "description"])
    monkeypatch.delenv("TRANSAK_DRIFT_TRANSACTIONS")
    months, further = project / "months", project / "monitoring_configs"
    further.mkdir()
    for file, changes in {
        project / "monitoring_config.json": {"monitoring_window": "day", "transactions": "months"},
        further / "transak-i2.json": {
            "model_name": "transak-i2",
            "monitoring_job_display_name": "transak_i2",
            "monitoring_window": "week",
            "transactions": f"{months}/{{date:%Y-%m}}.csv",
            "start_date": "2025-01-01",
        },
    }.items():
        file.write_text(json.dumps(document(**changes)))
    for load in (load_settings().load_configs, lambda: call("config", "check")):
        with pytest.raises(ConfigError) as caught:
            load()
        problem = "2025-01.csv is of a whole month, but monitoring_window is"
        assert [(fault.path, fault.problem) for fault in caught.value.faults] == [
            ("transactions", f"months/{problem} day"),
            ("transactions", f"{months}/{problem} week"),
        ]
        assert all(
            fault.fix.startswith("set monitoring_window to month, or")
            for fault in caught.value.faults
        )


@pytest.mark.parametrize("has_labels", [True, False], ids=["labels", "no labels"])
def test_months_from_one_setting_drift_train_and_are_quiet_again(
    project: Path, *, has_labels: bool
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

    server = ensure_embedded_pubsub(project / "state" / "pubsub")
    with dg.DagsterInstance.ephemeral() as instance, server:
        loaded = Project(instance)
        loaded.jobs.run(PREPARE_JOB)
        assert loaded.recorded(REGISTERED_MODEL)["version"] == ("1" if has_labels else "none")
        # The first half of the months is the first baseline.
        baseline = pd.concat(months[month] for month in MONTHS[:4])
        for month, result in loaded.monitor(*MONTHS[: MONTHS.index(RENAMED) + 1]).items():
            assert_equal_to_pandas(result, baseline, months[month])
            drifted = ["description"] if month == RENAMED else []
            assert [feature.feature for feature in result.drifted] == drifted

        [key] = loaded.sensor.tick_and_train(loaded.definitions)
        trained, new = loaded.recorded(TRAINED_MODEL), loaded.recorded(BASELINE_DATASET)
        assert (trained["drift event"], trained["promoted"]) == (key, True)
        assert trained["version"] == ("2" if has_labels else "1")
        reason = (
            "no classifier was trained, as the transactions have no column 'category' to learn "
            "from (label_column names it); what drifted is the new baseline"
        )
        assert ("not worse on recent rows" if has_labels else reason) in trained["reason"]
        assert (new["first day"], new["last day"]) == ("2025-06-01", "2025-06-30")

        for month, result in loaded.monitor("2025-07", "2025-08").items():
            assert_equal_to_pandas(result, months[RENAMED], months[month])
            assert not result.drifted
        assert loaded.sensor.tick().run_requests == []
        trainings = instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
        assert [run.status for run in trainings] == [dg.DagsterRunStatus.SUCCESS]
