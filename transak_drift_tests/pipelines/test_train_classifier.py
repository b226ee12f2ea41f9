"""The training step, run for real by KFP's local runner on generated days."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kfp import dsl
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.platform import LocalPlatform
from transak_drift.local.trainer import FEATURE_COLUMNS, predict
from transak_drift.local.transaction_generator import (
    GeneratedTransactions,
    GeneratorSettings,
    generate_day,
)
from transak_drift.pipelines.pipeline_train import (
    train_classifier,
    train_classifier_op,
)
from transak_drift.pipelines.training_step import (
    metadata_of,
    mounted_path,
    save_model,
    train_challenger,
)
from transak_drift.platform import TrainingRequest
from transak_drift.training.promotion import Comparison
from transak_drift_tests.config.configurations import configuration, document
from transak_drift_tests.windows import day_window

FIRST_DAY = date(2026, 5, 1)
DRIFT_DAY = date(2026, 5, 4)
LAST_DAY = date(2026, 5, 5)
SETTINGS = GeneratorSettings(seed=3, rows_per_day=600, drift_from=DRIFT_DAY)
train = partial(
    train_challenger,
    config=configuration(),
    first_day=FIRST_DAY,
    last_day=LAST_DAY,
    champion_directory="",
    seed=7,
)


@pytest.fixture(scope="module")
def transactions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("transactions")
    source = GeneratedTransactions(SETTINGS)
    for day in _days(FIRST_DAY, LAST_DAY):
        source.write_window(day_window(day), directory / f"{day}.parquet")
    return directory


@pytest.mark.usefixtures("local_runner")
def test_the_component_trains_on_the_days_since_the_drift(
    transactions: Path, tmp_path: Path
) -> None:
    task = train_classifier_op(
        monitoring_config=json.dumps(document()),
        transactions=str(transactions),
        first_day=str(FIRST_DAY),
        last_day=str(LAST_DAY),
        champion_uri="",
        seed=7,
    )

    # Run at once, a task has values where in a pipeline it has channels.
    outputs: dict[str, Any] = dict(task.outputs)
    assert outputs["version_aliases"] == ["default"]
    assert "first model" in outputs["description"]
    metrics = outputs["metrics"].metadata
    assert metrics["training days"] == 2
    assert metrics["training rows"] == 2 * SETTINGS.rows_per_day
    assert 0.5 < metrics["macro F1"] <= 1
    assert outputs["model_uri"] == outputs["model"].uri
    model = joblib.load(Path(outputs["model"].path) / "model.joblib")
    next_day = tmp_path / "next_day.parquet"
    GeneratedTransactions(SETTINGS).write_window(day_window(LAST_DAY + timedelta(days=1)), next_day)
    predicted = predict(model, next_day).column("predicted_category").to_pylist()
    labels = pq.read_table(next_day).column("category").to_pylist()
    assert mean(found == label for found, label in zip(predicted, labels, strict=True)) > 0.8


@pytest.mark.parametrize(
    ("policy", "windows"), [({}, 4), ({"objectives": ["feature", "prediction"]}, 1)]
)
def test_where_predictions_may_train_windows_of_other_answers_are_left_out(
    tmp_path: Path, policy: dict[str, Any], windows: int
) -> None:
    last_day = FIRST_DAY + timedelta(days=3)
    for day in _days(FIRST_DAY, last_day):
        food = 180 if day == last_day else 100
        rows = ["Migros Bern,card,food"] * food + ["SBB Ticket,card,travel"] * (200 - food)
        path = tmp_path / "days" / f"{day}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["description,type,category", *rows]))
    config = configuration(
        drift_thresholds={"type": 0.3}, prediction_drift={"threshold": 0.3}, retrain_policy=policy
    )
    step = partial(train, config=config, transactions=str(tmp_path / "days"))
    champion, _ = step(last_day=FIRST_DAY)
    save_model(champion, str(tmp_path / "champion"))
    _, found = step(last_day=last_day, champion_directory=str(tmp_path / "champion"))
    assert (len(found), found[-1]) == (windows, day_window(last_day))


def test_a_challenger_that_is_worse_than_the_champion_does_not_become_the_default(
    transactions: Path, tmp_path: Path
) -> None:
    # It knows each row by heart, those that are held out as well.
    champion = Pipeline(
        [
            ("rows", OneHotEncoder(handle_unknown="ignore")),
            ("classifier", DecisionTreeClassifier(random_state=0)),
        ]
    )
    rows = pa.concat_tables(generate_day(day, SETTINGS) for day in _days(FIRST_DAY, LAST_DAY))
    columns = [*FEATURE_COLUMNS, "category"]
    texts = np.array([rows.column(name).to_pylist() for name in columns], dtype=object).T
    champion.fit(texts[:, :-1], texts[:, -1])
    (tmp_path / "champion").mkdir()
    joblib.dump(champion, tmp_path / "champion" / "model.joblib")
    model, metrics = dsl.Model(uri=str(tmp_path / "challenger")), dsl.Metrics()

    uri, aliases, description = train_classifier(
        json.dumps(document(promotion={"maximum_loss": 0.001})),
        str(transactions),
        str(FIRST_DAY),
        str(LAST_DAY),
        str(tmp_path / "champion"),
        7,
        model,
        metrics,
    )

    assert aliases == ["challenger"]
    assert description.startswith("worse on ")
    stored = Comparison.model_validate_json(metrics.metadata["comparison"])
    assert "; ".join(stored.reasons) == description
    assert [item.name for item in stored.sets] == ["recent", "historical"]
    assert metrics.metadata["historical macro F1 of the champion"] > 0.95
    assert metrics.metadata["macro F1"] < metrics.metadata["macro F1 of the champion"]
    assert (Path(uri) / "model.joblib").is_file()


def test_a_challenger_that_is_as_good_as_the_champion_becomes_the_default(
    transactions: Path, tmp_path: Path
) -> None:
    first, _ = train(transactions=str(transactions))
    save_model(first, str(tmp_path))

    second, days = train(transactions=str(transactions), champion_directory=str(tmp_path))

    assert second.champion is not None
    assert second.promoted
    assert metadata_of(second, days)["macro F1 of the champion"] == second.champion.macro_f1


def test_an_undeclared_column_is_measured_as_on_the_local_platform(tmp_path: Path) -> None:
    days = _days(FIRST_DAY, LAST_DAY)
    for number, day in enumerate(days):
        # Hardly a number occurs twice: as categories they would not drift.
        amounts = np.random.default_rng(number).normal(90 if day >= DRIFT_DAY else 10, 5, 200)
        lines = [f"shop {n % 2},x,{amount},{n % 2}" for n, amount in enumerate(amounts)]
        text = "\n".join(["description,type,amount,category", *lines])
        (tmp_path / "days").mkdir(exist_ok=True)
        (tmp_path / "days" / f"{day}.csv").write_text(text)
    config = configuration(
        transactions=str(tmp_path / "days"),
        drift_thresholds={"type": 0.3, "amount": 0.3},
        start_date=str(days[1]),
    )

    _, used = train(config=config, transactions=str(tmp_path / "days"))

    assert used == [day_window(DRIFT_DAY), day_window(LAST_DAY)]
    platform = LocalPlatform(tmp_path / "state", SETTINGS, lambda *_: "")
    platform.ensure_registered_model(config)
    end = datetime.combine(LAST_DAY + timedelta(days=1), time(), tzinfo=UTC)
    request = TrainingRequest("event", end, run_id="")
    result = platform.train(config, request, lambda _: None)
    assert result.training_days == (DRIFT_DAY, LAST_DAY)


def test_days_without_bookings_end_no_regime(tmp_path: Path) -> None:
    for day in _days(FIRST_DAY, LAST_DAY):
        rows = "" if day == DRIFT_DAY else "".join(f"shop {n % 2},x,{n % 2}\n" for n in range(80))
        (tmp_path / f"{day}.csv").write_text(f"description,type,category\n{rows}")
    _, windows = train(transactions=str(tmp_path))
    assert windows == [day_window(day) for day in _days(FIRST_DAY, LAST_DAY) if day != DRIFT_DAY]


def test_a_window_that_lacks_labels_fails_early_with_the_numbers(tmp_path: Path) -> None:
    for day in _days(FIRST_DAY, LAST_DAY):
        lacks = day == LAST_DAY
        rows = [f"shop {n % 2},x,{'' if lacks and n % 4 == 1 else n % 2}\n" for n in range(80)]
        (tmp_path / f"{day}.csv").write_text(f"description,type,category\n{''.join(rows)}")
    strict = partial(train, transactions=str(tmp_path))
    with pytest.raises(
        DatasetError,
        match=r"60 of 80 rows have a label in 'category' \(75\.0%\), at least 95\.0% are needed; "
        r"without one, by description: 'shop 1' \(20\); fix: label",
    ):
        strict(config=configuration(labels={}))
    champion, _ = strict(last_day=FIRST_DAY)
    save_model(champion, str(tmp_path / "champion"))
    (tmp_path / f"{LAST_DAY}.csv").write_text(
        "description,type,category\n" + "".join(f"shop {n % 3},x,{n % 3}\n" for n in range(80))
    )
    with pytest.raises(DatasetError, match=r"the champion does not know: '2' \(26\)"):
        strict(config=configuration(labels={}), champion_directory=str(tmp_path / "champion"))


def test_what_is_missing_is_named(transactions: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"last_day = 2026-05-09.*fix"):
        train(transactions=str(transactions), last_day=date(2026, 5, 9))
    with pytest.raises(ValueError, match=r"holds no model\.joblib.*fix"):
        train(transactions=str(transactions), champion_directory=str(tmp_path))


def test_buckets_are_read_where_vertex_ai_mounts_them() -> None:
    assert mounted_path("gs://bucket/days") == "/gcs/bucket/days"
    assert mounted_path("/data/days") == "/data/days"


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
