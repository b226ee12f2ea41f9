"""Training, on real transactions: data, classifier, scores, and one version for each event."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from transak_drift.config.monitoring_window import Window
from transak_drift.config.sections import PromotionPolicy
from transak_drift.local.classifier import FEATURES, Tuning, fit_classifier, predict_probabilities
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.file_transactions import transactions_at
from transak_drift.local.model_registry import ModelVersion
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.trainer import (
    predict,
    read_labelled_rows,
    train_classifier,
)
from transak_drift.local.training import LocalTraining
from transak_drift.local.transaction_generator import (
    GeneratedTransactions,
    GeneratorSettings,
    catalogue,
)
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.windows import day_window

DRIFT_DAY = date(2026, 3, 6)
ROWS = 700
SOURCE = GeneratedTransactions(GeneratorSettings(seed=11, rows_per_day=ROWS, drift_from=DRIFT_DAY))


@dataclass(frozen=True)
class Trainings:
    """A model trained on four quiet days, and one trained on the day that drifted."""

    training: LocalTraining
    quiet: dict[Window, Path]
    drifted: Path
    first: ModelVersion
    second: ModelVersion


def local_training(root: Path) -> LocalTraining:
    return LocalTraining(StateDirectory(root, configuration()), SOURCE, seed=0)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    training = local_training(tmp_path_factory.mktemp("home"))
    files = {}
    for day in [DRIFT_DAY + timedelta(days=n) for n in range(-4, 1)]:
        files[day_window(day)] = Path(training.land(day_window(day)).uri)
    drifted = files.pop(day_window(DRIFT_DAY))
    first, first_adopted = training.train_version(files, None, "f00")
    second, second_adopted = training.train_version(
        {day_window(DRIFT_DAY): drifted}, "monitor/1", "f01"
    )
    assert not (first_adopted or second_adopted)
    return Trainings(training, files, drifted, first, second)


def day_file(path: Path, labels: list[Any], text: str = "word") -> Path:
    columns = {
        "description": [f"{text} {label}" for label in labels],
        "type": ["card"] * len(labels),
        "category": pa.array(labels),
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_a_model_learns_the_categories(trainings: Trainings) -> None:
    first = trainings.first
    assert first.metrics is not None
    assert min(first.metrics.accuracy, first.metrics.macro_f1) > 0.9
    assert first.metrics.log_loss < 0.5
    assert first.metrics.rows == pytest.approx(0.2 * 4 * ROWS, rel=0.03)
    assert first.rows == 4 * ROWS
    days = (min(trainings.quiet).first_day, max(trainings.quiet).last_day)
    assert first.training_days == days
    assert (first.champion_before, first.champion_metrics) == (None, None)
    assert first.promoted
    assert "first model" in first.reason


def test_drift_leads_to_a_better_champion_once(trainings: Trainings) -> None:
    second, registry = trainings.second, trainings.training.registry
    assert second.metrics is not None and second.champion_metrics is not None
    assert second.metrics.macro_f1 > second.champion_metrics.macro_f1 + 0.1
    assert second.champion_before == 1
    assert (second.run_id, second.files) == ("f01", (str(trainings.drifted),))
    assert registry.champion() == second
    assert trainings.training.train_version({}, "monitor/1", "f02") == (second, True)
    assert registry.versions() == [trainings.first, second]


def test_the_same_files_and_seed_give_the_same_model(trainings: Trainings) -> None:
    history = list(trainings.quiet.values())
    one, other = (
        train_classifier([trainings.drifted], "category", 0, history_files=history)
        for _ in range(2)
    )
    assert one.comparison == other.comparison
    predicted = [predict(item.pipeline, trainings.drifted) for item in (one, other)]
    assert predicted[0].equals(predicted[1])


def test_predictions_keep_the_rows_order_and_tell_their_probability(trainings: Trainings) -> None:
    pipeline = trainings.training.registry.load(trainings.second)
    predicted = predict(pipeline, trainings.drifted)
    assert predicted.column_names == ["predicted_category", "probability"]
    scheme = catalogue()["new_payment_scheme"]
    descriptions = pq.read_table(trainings.drifted).column("description").to_pylist()
    categories = predicted.column("predicted_category").to_pylist()
    rows = zip(descriptions, categories, strict=True)
    collective = {name for text, name in rows if text == scheme["collective_description"]}
    assert collective == {scheme["collective_category"]}
    probabilities = predicted.column("probability").to_numpy()
    assert np.all((probabilities > 1 / 16 - 1e-12) & (probabilities <= 1.0))


def test_missing_unknown_and_no_rows_are_predicted(trainings: Trainings, tmp_path: Path) -> None:
    pipeline = trainings.training.registry.load(trainings.first)
    odd = pa.table({"description": [None, "", "Ωmega ☂"], "type": ["never seen", None, ""]})
    numbers = pa.table({"description": [1, 2], "type": pa.array(["a", "a"]).dictionary_encode()})
    for table in (odd, odd.slice(0, 0), numbers):
        pq.write_table(table, tmp_path / "a.parquet")
        found = predict(pipeline, tmp_path / "a.parquet")
        assert found.num_rows == table.num_rows
        assert found.column("probability").null_count == 0
    tags = odd.set_column(1, "type", pa.array([["a"]] * 3))
    for table, told in ((odd.select(["description"]), "has no column 'type'"), (tags, "'type' is")):
        pq.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(DatasetError, match=rf"a\.parquet: .*{told}"):
            predict(pipeline, tmp_path / "a.parquet")


def counted(rows: Any, word: int = 0) -> Counter[str]:
    """Count a word of the descriptions in rows."""
    return Counter(text.split()[word] for text in rows[:, 0])


def test_a_large_window_is_sampled_with_the_newest_day_in_front(tmp_path: Path) -> None:
    files = [
        day_file(tmp_path / f"{n}.parquet", ["a", "b"] * 100, text=f"day{n}") for n in range(5)
    ]
    every = read_labelled_rows(files, "category", 0)
    sizes = counted(every.training)
    sampled = read_labelled_rows(files, "category", 0, 200)
    assert counted(sampled.training)["day4"] == 100
    assert sampled.rows == every.rows == 1000
    assert all(15 <= counted(sampled.training)[f"day{n}"] <= 35 for n in range(4))
    # What is held out is the same, however many are trained on.
    for few, all_ in zip(sampled.held_out, every.held_out, strict=True):
        assert few.astype(str).tolist() == all_.astype(str).tolist()
    history = read_labelled_rows(files, "category", 0, 200, is_history=True)
    shares = {day: rows / sizes.total() for day, rows in sizes.items()}
    found = counted(history.training)
    assert all(found[day] == pytest.approx(200 * share, abs=1) for day, share in shares.items())


def test_rows_without_a_label_are_left_out_and_others_learned_as_text(tmp_path: Path) -> None:
    path = day_file(tmp_path / "0.parquet", [6011, 6513, None] * 40)
    trained = train_classifier([path], "category", 0)
    assert trained.rows_in_window == 120
    assert list(trained.pipeline.classes_) == ["6011", "6513"]
    found = read_labelled_rows([path], "category", 0)
    every = counted(found.training, 1) + counted(np.concatenate(found.held_out), 1)
    assert every == Counter({"6011": 40, "6513": 40})
    assert found.without_label == 40


def test_data_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    good = day_file(tmp_path / "good.parquet", ["a", "b"] * 50)
    with pytest.raises(DatasetError, match="seed = -1"):
        train_classifier([good], "category", -1)
    with pytest.raises(DatasetError, match=r"good\.parquet: has no column 'label'.*'category'"):
        train_classifier([good], "label", 0)
    (tmp_path / "text.parquet").write_text("no Parquet at all")
    for name in ("text", "missing"):
        with pytest.raises(DatasetError, match=rf"{name}\.parquet is no readable Parquet"):
            train_classifier([good, tmp_path / f"{name}.parquet"], "category", 0)
    with pytest.raises(DatasetError, match="only the label 'a'"):
        train_classifier([day_file(tmp_path / "1.parquet", ["a"] * 60)], "category", 0)
    # What drifted may be of one class, where the history has others.
    of_one = train_classifier([tmp_path / "1.parquet"], "category", 0, history_files=[good])
    assert list(of_one.pipeline.classes_) == ["a", "b"]
    few = day_file(tmp_path / "2.parquet", ["a", "b"] * 15 + [None] * 40)
    training = local_training(tmp_path)
    with pytest.raises(DatasetError, match=r"30 rows with a label.*\(40 without\).*50"):
        training.train_version({day_window(DRIFT_DAY): few}, "monitor/1", "f00")
    assert training.registry.versions() == []


def shops(path: Path, **labels: tuple[str, int]) -> Path:
    """Write rows with a shop in each description: of each its label, and how many."""
    rows = [(shop, label) for shop, (label, count) in labels.items() for _ in range(count)]
    columns = {
        "transaction_id": [f"{path.stem}-{number}" for number in range(len(rows))],
        "description": [shop for shop, _ in rows],
        "type": ["card"] * len(rows),
        "category": [label for _, label in rows],
    }
    pq.write_table(pa.table(columns), path)
    return path


def features(count: int, **columns: Any) -> np.ndarray:
    """Return rows of the features; what is not given is missing, the description alike in all."""
    missing = {"description": "payment", "type": "card", "amount": float("nan"), "day": ""}
    rows = np.empty((count, len(FEATURES)), dtype=object)
    for index, name in enumerate(FEATURES):
        rows[:, index] = columns.get(name, missing[name])
    return rows


def fit(rows: np.ndarray, labels: Any, budget: float = 1.0) -> tuple[Pipeline, Tuning, list[str]]:
    told: list[str] = []
    pipeline, tuning = fit_classifier(rows, np.asarray(labels, object), 3, budget, told.append)
    return pipeline, tuning, told


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("amount", [-12.5, 12.5]),
        ("amount", [-4.0, -900.0]),
        ("day", ["2026-11-23", "2026-11-29"]),
        ("type", ["card", "fee"]),
        ("description", ["Bäckerei Zopf 4711", "Tankstelle Süd 4711"]),
    ],
)
def test_a_label_is_learned_from_each_feature_and_missing_ones_are_predicted(
    feature: str, values: list[Any]
) -> None:
    cells = np.array(values * 40, dtype=object)
    pipeline, _, _ = fit(features(80, **{feature: cells}), ["a", "b"] * 40)
    found = predict_probabilities(pipeline, features(2, **{feature: np.array(values, object)}))
    assert np.all(np.diag(found) > 0.6)
    assert pipeline.predict(features(2, **{feature: np.array(values, object)})).tolist() == [
        "a",
        "b",
    ]
    missing = predict_probabilities(pipeline, features(1, **{feature: MISSING[feature]}))
    assert missing.sum() == pytest.approx(1)


MISSING = {"amount": float("nan"), "day": "", "type": "", "description": ""}


def test_misspelt_and_cut_descriptions_are_recognised_by_their_characters() -> None:
    names = np.array(["Metzgerei Huber", "Apotheke Sonne", "Restaurant Adler"] * 30, object)
    pipeline, _, _ = fit(features(90, description=names), names)
    odd = np.array(["METZGEREIHUB", "Apothek", "xRestaurantadler99"], object)
    assert pipeline.predict(features(3, description=odd)).tolist() == names[:3].tolist()


@pytest.mark.parametrize("description", ["", "x", "!?", "4711"])
def test_descriptions_without_a_word_are_no_fault(description: str) -> None:
    kinds = np.array(["card", "fee"] * 30, object)
    rows = features(60, description=description, type=kinds)
    pipeline, _, _ = fit(rows, kinds)
    assert pipeline.predict(rows).tolist() == kinds.tolist()
    every_one_another = np.array([f"{chr(19968 + n)}" for n in range(60)], object)
    fit(features(60, description=every_one_another, type=kinds), kinds)


def test_rare_labels_and_labels_with_one_row_are_learned() -> None:
    labels = ["common"] * 120 + ["rare"] * 4 + ["single"]
    names = np.array([f"shop {label}" for label in labels], object)
    pipeline, _, _ = fit(features(125, description=names), labels)
    assert pipeline.predict(features(125, description=names)).tolist() == labels


def test_the_budget_decides_how_much_is_tried_and_a_stop_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = np.array(["Migros", "Coop", "Denner", "Volg"] * 300, object)
    rows = features(1200, description=names)
    pipeline, tuning, told = fit(rows, names, budget=60)
    assert (len(tuning.tried), tuning.rows, tuning.stopped_early) == (7, 1200, False)
    assert sum("candidate" in text for text in told) == 8
    again, same, _ = fit(rows, names, budget=60)
    assert (same.chosen, same.tried) == (tuning.chosen, tuning.tried)
    assert np.array_equal(pipeline[-1].coef_, again[-1].coef_)
    _, small, _ = fit(rows, names, budget=1e-6)
    assert (len(small.tried), small.rows, small.stopped_early) == (1, 1000, False)
    # A machine so slow that the estimate is wrong.
    monkeypatch.setattr("transak_drift.local.classifier._UPDATES_A_SECOND", 1e15)
    _, stopped, _ = fit(rows, names, budget=1e-6)
    assert (len(stopped.tried), stopped.planned, stopped.stopped_early) == (1, 7, True)
    assert "stopped early" in stopped.summary()


def test_large_data_hold_rows_out_to_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transak_drift.local.classifier._MANY_ROWS", 500)
    monkeypatch.setattr("transak_drift.local.classifier._CALIBRATION_SHARE", 4)
    random = np.random.default_rng(0)
    labels = np.array([f"label {n % 5}" for n in range(1_000)], object)
    # A fifth of the labels is wrong: no more than 0.8 is certain.
    wrong = random.random(1_000) < 0.25
    names = labels.copy()
    labels[wrong] = random.choice(labels, wrong.sum())
    pipeline, _, told = fit(features(1_000, description=names), labels)
    assert any(text.startswith("pass 20 of 20") for text in told)
    assert predict_probabilities(pipeline, features(1_000, description=names)).max(
        axis=1
    ) == pytest.approx(0.8, abs=0.15)


SERVE = """
import json, sys
sys.modules |= dict.fromkeys(("transak_drift", "dagster", "duckdb", "pydantic"))
import joblib, numpy
model = joblib.load(sys.argv[1])
for instances in json.load(sys.stdin):
    print(json.dumps(model.predict(numpy.asarray(instances)).tolist()))
"""


def test_a_model_is_served_where_only_scikit_learn_is_installed(tmp_path: Path) -> None:
    names = np.array(["Migros", "Coop"] * 40, object)
    pipeline, _, _ = fit(features(80, description=names, amount=-5.0, day="2026-11-23"), names)
    joblib.dump(pipeline, tmp_path / "model.joblib")
    # As Vertex AI's scikit-learn container does: an array of the request's instances.
    served = [
        [["Coop Bern", "card"], ["Migros", "card"]],
        [["Coop Bern", "card", -5], ["Migros", "card", None]],
        [["Coop Bern", "card", -5, "2026-11-23"], ["Migros", "card", 1.5, "2026-11-24"]],
        [["Coop Bern", "card", -5, "2026-11-23"], ["Migros", "card", None, None]],
        [["Coop Bern", "card", -5, "2026-11-23"], ["Migros", "card", "", ""]],
    ]
    command = [sys.executable, "-c", SERVE, str(tmp_path / "model.joblib")]
    found = subprocess.run(
        command, input=json.dumps(served), capture_output=True, text=True, check=True, cwd=tmp_path
    )
    predicted = [json.loads(line) for line in found.stdout.splitlines()]
    assert predicted == [["Coop", "Migros"]] * len(served)
    for width in (1, 5):
        with pytest.raises(ValueError, match="features"):
            pipeline.predict(np.array([["Migros"] * width]))


def test_amount_and_date_are_read_where_they_are_and_day_names_are_those_of_the_configuration(
    tmp_path: Path,
) -> None:
    days = ["23.11.2026", "29.11.2026"] * 60
    table = pa.table(
        {
            "description": ["x"] * 120,
            "type": ["y"] * 120,
            "booked": days,
            "amount": ["-1.200,50", "n/a"] * 60,
            "category": ["weekday", "sunday"] * 60,
        }
    )
    csv = tmp_path / "2026-11.csv"
    lines = [table.column_names, *zip(*table.to_pydict().values(), strict=True)]
    csv.write_text("\n".join(map(";".join, lines)))
    config = configuration(
        date_column="booked",
        monitoring_window="month",
        csv={"date_format": "%d.%m.%Y", "decimal": ",", "separator": ";"},
    )
    dates = transactions_at(str(csv), config)
    kept = tmp_path / "kept.parquet"
    [window] = dates.windows()
    dates.write_window(window, kept)
    found = read_labelled_rows([kept], "category", 0, dates=dates)
    everything = np.vstack([found.training, *found.held_out])
    rows = {tuple(row) for row in everything[:, :-1].astype(str)}
    assert rows == {("x", "y", "-1200.5", "2026-11-23"), ("x", "y", "nan", "2026-11-29")}
    challenger = train_classifier([kept], "category", 0, dates=dates)
    assert challenger.evaluation.accuracy == 1
    without = tmp_path / "without.parquet"
    pq.write_table(table.select(["description", "type"]), without)
    assert predict(challenger.pipeline, without, dates=dates).num_rows == 120


def test_a_champion_of_an_earlier_version_predicts_and_another_is_refused(tmp_path: Path) -> None:
    path = day_file(tmp_path / "0.parquet", ["a", "b"] * 40)
    texts = np.array([[f"word {label}", "card"] for label in "ab"], object)
    former = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    former.fit(texts, ["a", "b"])
    predicted = predict(former, path).column("predicted_category").to_pylist()
    assert predicted == ["a", "b"] * 40
    challenger = train_classifier([path], "category", 0, former)
    assert challenger.champion is not None
    assert challenger.champion.macro_f1 == 1
    foreign = former.fit(np.hstack([texts, texts[:, :1]]), ["a", "b"])
    with pytest.raises(DatasetError, match=r"takes 3 columns, .* description, type, amount, day"):
        predict(foreign, path)


@pytest.mark.parametrize(
    ("history_rows", "champion_knows", "worse"),
    [(100, "old", "historical"), (900, "new", "recent")],
)
def test_a_challenger_that_is_worse_on_old_or_on_new_rows_is_not_promoted(
    tmp_path: Path, history_rows: int, champion_knows: str, worse: str
) -> None:
    # The same shops have other labels; what more rows say, the challenger says.
    old = shops(tmp_path / "old.parquet", migros=("a", history_rows), coop=("b", history_rows))
    new = shops(tmp_path / "new.parquet", migros=("b", 400), coop=("a", 400))
    champion = train_classifier([old if champion_knows == "old" else new], "category", 0).pipeline
    found = train_classifier([new], "category", 0, champion, history_files=[old])
    assert not found.promoted
    assert found.reason.startswith(f"worse on {worse} rows: macro F1 0.0000 against the champion's")
    better = "historical" if worse == "recent" else "recent"
    assert f"; not worse on {better} rows: macro F1 1.0000 against" in found.reason


def test_one_class_traded_for_the_rest_is_blocked_by_name(tmp_path: Path) -> None:
    quiet = {shop: (shop, 400) for shop in ("migros", "coop", "sbb")}
    old = shops(tmp_path / "old.parquet", **quiet, pharmacy=("health", 60))
    new = shops(tmp_path / "new.parquet", **quiet, kiosk=("sbb", 900), pharmacy=("coop", 900))
    champion = train_classifier([old], "category", 0).pipeline
    policy = PromotionPolicy(maximum_loss=0.9)
    found = train_classifier([new], "category", 0, champion, history_files=[old], policy=policy)
    assert found.comparison.sets[0].difference is not None
    assert found.comparison.sets[0].difference.low > 0
    assert not found.promoted
    assert found.reason.startswith(
        "worse on historical rows of the class 'health': F1 0.0000 against 1.0000"
    )


def test_a_challenger_that_is_not_promoted_is_kept(trainings: Trainings, tmp_path: Path) -> None:
    training = local_training(tmp_path)
    shutil.copytree(trainings.training.registry.directory, training.state.registry)
    (training.state.registry / "2.json").unlink()
    table = pq.read_table(trainings.drifted)
    file = tmp_path / "few_rows.parquet"
    # Too few to learn from what the champion knows, though twice as many of the history join them.
    pq.write_table(table.slice(0, 90), file)
    version, _ = training.train_version({day_window(DRIFT_DAY): file}, "monitor/2", "f03")
    assert not version.promoted
    assert "worse on historical rows" in version.reason
    assert version.comparison is not None
    assert version.comparison.reasons == tuple(version.reason.split("; "))
    assert training.registry.versions() == [trainings.first, version]
    assert training.registry.champion() == trainings.first


def _train(training: LocalTraining, files: dict[Window, Path]) -> tuple[int, bool]:
    version, adopted = training.train_version(files, "monitor/1", "f00")
    return version.number, adopted


def test_of_two_processes_one_trains_and_the_other_adopts(
    trainings: Trainings, tmp_path: Path
) -> None:
    arguments = (local_training(tmp_path), {day_window(DRIFT_DAY): trainings.drifted})
    # Forked, as scikit-learn takes seconds to import; each waits for the other to be there.
    forked = multiprocessing.get_context("fork")
    with forked.Pool(2, forked.Barrier(2).wait) as pool:
        found = pool.starmap_async(_train, [arguments] * 2, chunksize=1).get(timeout=60)
    assert sorted(found) == [(1, False), (1, True)]
