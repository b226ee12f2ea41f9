"""Someone else's files in place of the generated transactions, through the whole platform."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.recorded_reports import check_evaluations
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.monitoring_result import NO_BASELINE, MonitoringResult
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.file_transactions import monitored_kinds
from transak_drift.local.platform import LocalPlatform
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.transaction_generator import GeneratorSettings
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import store_job

FIRST_DAY = date(2026, 5, 4)
# Metric and distance by feature.
Distances = dict[str, tuple[str, Any]]


def own_config(location: Path, **changes: Any) -> MonitoringConfig:
    thresholds = {"description": 0.3, "type": 0.3, "amount": 0.2}
    own = {"start_date": str(FIRST_DAY), "transactions": str(location)}
    return configuration(**({"drift_thresholds": thresholds} | own | changes))


def own_rows(seed: int, rows: int = 900) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    merchants = [f"Händler {n:02d} Zürich" for n in range(12)] + ["001", "1", 'a "quoted", one']
    weights = random.dirichlet(np.ones(len(merchants)))
    description = random.choice(np.array(merchants, dtype=object), size=rows, p=weights)
    booking_type = random.choice(np.array(["007", "7", "TWINT", None], dtype=object), size=rows)
    amount = random.normal(loc=-20 - seed, scale=40, size=rows).round(2)
    amount[random.random(rows) < 0.1] = np.nan
    description[random.random(rows) < 0.05] = None
    return pd.DataFrame({"description": description, "type": booking_type, "amount": amount})


def monitor(tmp_path: Path, config: MonitoringConfig, day: date) -> tuple[MonitoringResult, list]:
    published: list[dict[str, Any]] = []

    def publish(_: MonitoringConfig, body: bytes) -> str:
        published.append(json.loads(body))
        return "1"

    platform = LocalPlatform(tmp_path / "state", GeneratorSettings(), publish)
    platform.ensure_registered_model(config)
    platform.apply_model_monitor(config)
    window = config.windows.of_day(day)
    platform.land_transactions(config, window)
    platform.predict(config, window)
    run = platform.start_monitoring_run(config, window)
    return platform.monitoring_result(config, run.job_name), published


def distances(result: MonitoringResult) -> Distances:
    return {item.feature: (item.metric, item.distance) for item in result.features}


def compared(config: MonitoringConfig, baseline: pd.DataFrame, target: pd.DataFrame) -> Distances:
    """Compare the rows themselves, without files of days, platform and training."""
    statistics = []
    with TemporaryDirectory() as directory:
        for rows in (baseline, target):
            rows.to_parquet(Path(directory) / "a.parquet")
            found = scan_statistics([Path(directory) / "a.parquet"], monitored_kinds(config))
            statistics.append(found)
    features = compare_features(*statistics, config.drift_thresholds)
    return {f.feature: (f.metric, pytest.approx(f.distance, abs=1e-12)) for f in features}


def write(rows: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (rows.to_csv if path.suffix == ".csv" else rows.to_parquet)(path, index=False)


def in_files(
    tmp_path: Path, baseline: pd.DataFrame, target: pd.DataFrame, ending: str = "csv"
) -> Path:
    write(baseline, tmp_path / "data" / f"baseline.{ending}")
    write(target, tmp_path / "data" / f"{FIRST_DAY}.{ending}")
    return tmp_path / "data"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_directory_of_days_with_its_own_baseline_and_no_labels(
    tmp_path: Path, ending: str
) -> None:
    baseline, target = own_rows(1), own_rows(2, rows=700)
    config = own_config(in_files(tmp_path, baseline, target, ending))
    result, published = monitor(tmp_path, config, FIRST_DAY)
    assert distances(result) == compared(config, baseline, target)
    assert (result.baseline_rows, result.target_rows) == (900, 700)
    drifted = [feature.feature for feature in result.drifted]
    assert [entry["jsonPayload"]["totalAnomaliesCount"] for entry in published] == (
        [len(drifted)] if drifted else []
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_one_file_with_dates_and_labels_trains_and_is_monitored(
    tmp_path: Path, ending: str
) -> None:
    days = [FIRST_DAY + timedelta(days=n) for n in range(-3, 2)]
    parts = [own_rows(10 + n, rows=400) for n in range(len(days))]
    for day, part in zip(days, parts, strict=True):
        part["date"] = str(day)
        part["category"] = np.where(part.description.fillna("").str.len() > 5, "shop", "other")
    write(pd.concat(parts), tmp_path / f"all.{ending}")
    config = own_config(tmp_path / f"all.{ending}")
    result, _ = monitor(tmp_path, config, days[-1])
    assert distances(result) == compared(config, pd.concat(parts[:3]), parts[-1])
    assert result.baseline_name == "training data of model 1"


def test_a_feature_named_as_what_a_model_predicts_stays_the_users(tmp_path: Path) -> None:
    baseline, target = own_rows(1), own_rows(2)
    for rows in (baseline, target):
        rows["category"] = np.where(rows.description.fillna("").str.len() > 5, "shop", "other")
        rows["Probability"] = rows.amount
        rows["PREDICTED_category"] = "of another model"
    config = own_config(
        in_files(tmp_path, baseline, target),
        drift_thresholds={"Probability": 0.2},
        prediction_drift={"threshold": 0.3},
    )
    result, _ = monitor(tmp_path, config, FIRST_DAY)
    of_feature, of_prediction = result.features
    assert distances(result)["Probability"] == compared(config, baseline, target)["Probability"]
    assert (of_feature.objective, of_prediction.objective) == ("feature", "prediction")
    assert {item.value for item in of_prediction.contributors} <= {"shop", "other"}
    assert of_prediction.distance is not None


def test_predictions_that_stand_in_the_files_are_monitored_without_a_label(
    tmp_path: Path,
) -> None:
    shop = {FIRST_DAY + timedelta(days=n): 0.5 if n < 5 else 0.9 for n in range(7)}
    for seed, (day, share) in enumerate(shop.items()):
        predicted = np.where(np.arange(900) < 900 * share, "shop", "other")
        write(own_rows(1).sample(frac=1.0, random_state=seed).assign(label=predicted),
              tmp_path / "days" / f"{day}.csv")  # fmt: skip
    config = own_config(
        tmp_path / "days",
        prediction_drift={"column": "label", "threshold": 0.3},
        retrain_policy={"objectives": ["prediction"]},
    )
    for day in shop:
        result, published = monitor(tmp_path, config, day)
        of_prediction = result.features[-1]
        assert of_prediction.objective == "prediction"
        expected = 0.4 if day == FIRST_DAY + timedelta(days=5) else 0.0
        assert of_prediction.distance == pytest.approx(expected, abs=1e-9)
        assert len(published) == len(result.drifted) == (expected > 0)
        if published:
            assert result.window_end is not None
            # The days before differ by their predictions alone.
            platform = LocalPlatform(tmp_path / "state", GeneratorSettings(), lambda *_: "")
            request = TrainingRequest("monitor/job", result.window_end)
            trained = platform.train(config, request, lambda _: None)
            assert (trained.promoted, trained.training_days) == (True, (day, day))
            again = platform.train(config, request, lambda _: None)
            assert (again.version, again.adopted) == (trained.version, True)


def test_a_value_that_does_not_fit_is_a_fault_that_names_the_users_file(tmp_path: Path) -> None:
    target = own_rows(2, rows=60).astype({"amount": object})
    target.loc[7:8, "amount"] = ["kaputt", "12.-"]
    data = in_files(tmp_path, own_rows(1), target)
    with pytest.raises(PlatformError) as caught:
        monitor(tmp_path, own_config(data), FIRST_DAY)
    assert str(caught.value) == (
        f"{data / f'{FIRST_DAY}.csv'}, line 9: column 'amount' holds 'kaputt' (also '12.-'), which "
        "is no number; fix: correct it, or leave it empty, or declare the feature: "
        '"feature_types": {"amount": "categorical"}'
    )


def test_days_that_disagree_on_the_kind_are_named_by_the_users_files(tmp_path: Path) -> None:
    files = [
        tmp_path / f"{FIRST_DAY - timedelta(days=n)}.{end}"
        for n, end in ((2, "csv"), (1, "parquet"))
    ]
    for path, rows in zip(files, (own_rows(1), own_rows(2).astype({"amount": str})), strict=True):
        write(rows, path)
    write(own_rows(3), tmp_path / f"{FIRST_DAY}.csv")
    with pytest.raises(PlatformError, match="declare the feature") as caught:
        monitor(tmp_path, own_config(tmp_path), FIRST_DAY)
    assert f"numerical in {files[0]}, categorical in {files[1]}" in str(caught.value)


def test_an_empty_column_of_the_baseline_breaks_no_day(tmp_path: Path) -> None:
    baseline, target = own_rows(1), own_rows(2)
    data = in_files(tmp_path, baseline.assign(amount=None), target)
    config = own_config(data)
    result, _ = monitor(tmp_path, config, FIRST_DAY)
    by_name = {item.feature: item for item in result.features}
    assert by_name["amount"].distance is None
    note = by_name["amount"].note
    assert note.startswith(f"{NO_BASELINE}: column 'amount' is empty in all 900 rows")
    assert note.endswith("fill it there, or take the feature out of drift_thresholds")
    checks = check_evaluations(config, result.features, str(FIRST_DAY))
    [check] = [item for item in checks if item.check_name == "amount_drift"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == note
    expected = compared(config, baseline, target)["description"]
    assert distances(result)["description"] == expected


def test_the_stored_baseline_follows_the_configuration(tmp_path: Path) -> None:
    baseline, target = (own_rows(seed).assign(other=list(range(900))) for seed in (1, 2))
    baseline["category"] = np.where(baseline.amount > -30, "shop", "other")
    target["other"] += 450
    data = in_files(tmp_path, baseline, target)

    def monitored(config: MonitoringConfig) -> Distances:
        return distances(monitor(tmp_path, config, FIRST_DAY)[0])

    assert monitored(own_config(data))["amount"][0] == "jensen_shannon_divergence"
    declared = own_config(data, feature_types={"amount": "categorical"})
    expected = compared(declared, baseline, target)
    assert expected["amount"][0] == "l_infinity"
    assert monitored(declared) == expected
    further = own_config(data, drift_thresholds={"other": 0.2})
    assert monitored(further) == compared(further, baseline, target)
    # The rows are found again where those that were kept are gone, here without a model too.
    shutil.rmtree(next((tmp_path / "state").rglob("registry")))
    for path in (tmp_path / "state").rglob("transactions.parquet"):
        path.unlink()
    baseline.drop(columns="category").to_csv(data / "baseline.csv", index=False)
    assert monitored(declared) == expected


def test_a_day_without_bookings_is_no_fault_and_no_drift(tmp_path: Path) -> None:
    data = in_files(tmp_path, own_rows(1), own_rows(2))
    (data / f"{FIRST_DAY + timedelta(days=1)}.csv").write_text("description,type,amount\n")
    for days in (1, 5, 6):
        result, published = monitor(tmp_path, own_config(data), FIRST_DAY + timedelta(days=days))
        assert (result.target_rows, result.verdict, published) == (
            0,
            "no bookings in this window",
            [],
        )
        assert {item.verdict for item in result.features} == {"no bookings"}


def test_a_damaged_result_is_named_with_the_fix(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path, configuration())
    store_job(tmp_path, state.config, "job-1")
    platform = LocalPlatform(tmp_path, GeneratorSettings(), lambda *_: "")
    assert [row["window"] for row in platform.overview(state.config).monitoring_results] == [
        "2026-05-01"
    ]
    state.monitoring_result("job-1").write_text("{broken", encoding="utf-8")
    with pytest.raises(PlatformError, match=r"job-1\.json is damaged: Invalid JSON.*materialize"):
        platform.overview(state.config)
