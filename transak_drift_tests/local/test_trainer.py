"""Training, on real transactions: data, classifier, scores, and one version for each event."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, log_loss

from transak_drift.local.model_registry import ModelRegistry, ModelVersion
from transak_drift.local.trainer import (
    FEATURE_COLUMNS,
    MIN_PROBABILITY,
    Challenger,
    Evaluation,
    evaluate_probabilities,
    predict,
    train_classifier,
)
from transak_drift.local.training import train_version
from transak_drift.local.training_data import TrainingDataError, read_training_data
from transak_drift.local.transaction_generator import GeneratorSettings, catalogue, generate_day

DRIFT_DAY = date(2026, 3, 6)
ROWS = 1000


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[date, Path]:
    """Four quiet days and one that drifted."""
    directory = tmp_path_factory.mktemp("transactions")
    generator = GeneratorSettings(seed=11, rows_per_day=ROWS, drift_from=DRIFT_DAY)
    files = {}
    for n in range(-4, 1):
        day = DRIFT_DAY + timedelta(days=n)
        files[day] = directory / f"{day}.parquet"
        pq.write_table(generate_day(day, generator), files[day])
    return files


@dataclass(frozen=True)
class Trainings:
    champion: Challenger
    drifted_file: Path
    challenger: Challenger


@pytest.fixture(scope="module")
def trainings(days: dict[date, Path]) -> Trainings:
    *quiet, drifted = days.values()
    champion = train_classifier(quiet, "category", 0)
    return Trainings(
        champion, drifted, train_classifier([drifted], "category", 0, champion.pipeline)
    )


def day_file(path: Path, labels: list[str | None], text: str = "word") -> Path:
    pq.write_table(
        pa.table(
            {
                "description": [f"{text} {label}" for label in labels],
                "type": ["card"] * len(labels),
                "category": pa.array(labels, pa.string()),
            }
        ),
        path,
    )
    return path


def test_a_model_learns_the_categories(trainings: Trainings) -> None:
    scores = trainings.champion.evaluation
    assert scores.accuracy > 0.9
    assert scores.macro_f1 > 0.9
    assert scores.log_loss < 0.5
    assert scores.rows == pytest.approx(0.2 * 4 * ROWS, rel=0.03)
    assert trainings.champion.rows_in_window == 4 * ROWS
    assert trainings.champion.champion is None


def test_the_same_files_and_seed_give_the_same_model(trainings: Trainings) -> None:
    again = train_classifier([trainings.drifted_file], "category", 0)
    table = pq.read_table(trainings.drifted_file)
    scores = again.evaluation
    assert scores == trainings.challenger.evaluation
    assert Evaluation.model_validate_json(scores.model_dump_json()) == scores
    assert scores.metrics()["macro F1"] == scores.macro_f1
    assert predict(again.pipeline, table).equals(predict(trainings.challenger.pipeline, table))
    other = train_classifier([trainings.drifted_file], "category", 1)
    assert other.evaluation != again.evaluation


def test_predictions_keep_the_rows_order_and_tell_their_probability(trainings: Trainings) -> None:
    pipeline = trainings.challenger.pipeline
    table = pq.read_table(trainings.drifted_file)
    predicted = predict(pipeline, table)
    assert predicted.column_names == ["predicted_category", "probability"]
    assert predicted.num_rows == table.num_rows
    scheme = catalogue()["new_payment_scheme"]
    collective = [
        category
        for category, description in zip(
            predicted.column("predicted_category").to_pylist(),
            table.column("description").to_pylist(),
            strict=True,
        )
        if description == scheme["collective_description"]
    ]
    assert set(collective) == {scheme["collective_category"]}
    backwards = table.take(pa.array(range(table.num_rows - 1, -1, -1)))
    assert (
        predict(pipeline, backwards).column("predicted_category").to_pylist()
        == (predicted.column("predicted_category").to_pylist()[::-1])
    )
    probabilities = predicted.column("probability").to_numpy()
    assert np.all((probabilities > 1 / 16 - 1e-12) & (probabilities <= 1.0))


def test_missing_unknown_and_no_rows_are_predicted(trainings: Trainings) -> None:
    pipeline = trainings.champion.pipeline
    odd = pa.table({"description": [None, "", "Ωmega ☂"], "type": ["never seen", None, ""]})
    assert predict(pipeline, odd).column("probability").null_count == 0
    assert predict(pipeline, odd).num_rows == 3
    assert predict(pipeline, odd.slice(0, 0)).schema.equals(predict(pipeline, odd).schema)
    numbers = pa.table({"description": [1, 2], "type": pa.array(["a", "a"]).dictionary_encode()})
    assert predict(pipeline, numbers).num_rows == 2


def test_prediction_names_a_missing_column(trainings: Trainings) -> None:
    with pytest.raises(TrainingDataError, match="'type'"):
        predict(trainings.champion.pipeline, pa.table({"description": ["a"]}))
    with pytest.raises(TrainingDataError, match="column 'type' of type list"):
        predict(trainings.champion.pipeline, pa.table({"description": ["a"], "type": [["a", "b"]]}))


def split(
    files: list[Path], word: int = 0, seed: int = 0, **options: Any
) -> tuple[Counter[str], Counter[str]]:
    """Count a word of the descriptions in the training rows and in those held out."""
    data = read_training_data(files, FEATURE_COLUMNS, "category", seed=seed, **options)
    training, held_out = (
        Counter(text.split()[word] for text in part.features[:, 0])
        for part in (data.training, data.held_out)
    )
    return training, held_out


def test_held_out_rows_lean_to_the_newest_day(tmp_path: Path) -> None:
    labels = ["a", "b"] * 500
    files = [day_file(tmp_path / f"{n}.parquet", list(labels), text=f"day{n}") for n in range(10)]
    training, held_out = split(files)
    assert held_out.total() == pytest.approx(2000, abs=25)
    assert held_out["day9"] == pytest.approx(500, abs=3)
    assert all(held_out[f"day{n}"] == pytest.approx(1500 / 9, abs=45) for n in range(9))
    assert all(training[f"day{n}"] + held_out[f"day{n}"] == 1000 for n in range(10))


def test_a_large_window_is_sampled_with_the_newest_day_in_front(tmp_path: Path) -> None:
    files = [
        day_file(tmp_path / f"{n}.parquet", ["a", "b"] * 500, text=f"day{n}") for n in range(5)
    ]
    training, held_out = split(files, max_rows=1000)
    assert training["day4"] + held_out["day4"] == 500
    assert all(training[f"day{n}"] + held_out[f"day{n}"] == 125 for n in range(4))
    training, held_out = split(files[:1])
    assert (training.total(), held_out.total()) == pytest.approx((800, 200), abs=2)
    training, held_out = split(files[:1], max_rows=100)
    assert training.total() + held_out.total() == 100


def test_each_label_stays_in_training(tmp_path: Path) -> None:
    labels: list[str | None] = ["common"] * 100 + [f"rare{n}" for n in range(30)]
    path = day_file(tmp_path / "0.parquet", labels)
    for seed in range(5):
        training, held_out = split([path], 1, seed=seed)
        assert set(training) == set(labels)
        assert set(held_out) == {"common"}


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    path = day_file(tmp_path / "0.parquet", ["a", "b", None] * 40)
    assert train_classifier([path], "category", 0).rows_in_window == 120
    training, held_out = split([path], 1)
    assert training + held_out == Counter(a=40, b=40)


def test_labels_that_are_no_text_are_learned_as_text(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    pq.write_table(
        pa.table(
            {
                "description": ["cash", "rent"] * 50,
                "type": ["a", "b"] * 50,
                "code": [6011, 6513] * 50,
            }
        ),
        path,
    )
    trained = train_classifier([path], "code", 0)
    assert list(trained.pipeline.classes_) == ["6011", "6513"]
    assert trained.evaluation.accuracy == 1.0


def test_data_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    good = day_file(tmp_path / "good.parquet", ["a", "b"] * 50)
    with pytest.raises(TrainingDataError, match="seed = -1"):
        train_classifier([good], "category", -1)
    with pytest.raises(TrainingDataError, match="training_files is empty"):
        train_classifier([], "category", 0)
    with pytest.raises(TrainingDataError, match=r"'label'.*'category'.*label_column"):
        train_classifier([good], "label", 0)
    (tmp_path / "text.parquet").write_text("no Parquet at all")
    for name in ("text", "missing"):
        with pytest.raises(TrainingDataError, match=rf"{name}\.parquet is not a readable Parquet"):
            train_classifier([good, tmp_path / f"{name}.parquet"], "category", 0)
    with pytest.raises(TrainingDataError, match="only the label 'a'"):
        train_classifier([day_file(tmp_path / "1.parquet", ["a"] * 60)], "category", 0)
    with pytest.raises(TrainingDataError, match=r"30 rows with a label.*\(40 without\).*50"):
        train_classifier(
            [day_file(tmp_path / "2.parquet", ["a", "b"] * 15 + [None] * 40)], "category", 0
        )
    without_type = tmp_path / "3.parquet"
    pq.write_table(pq.read_table(good).drop_columns("type"), without_type)
    with pytest.raises(TrainingDataError, match=r"3\.parquet has no column 'type'"):
        train_classifier([good, without_type], "category", 0)


def test_scores_agree_with_scikit_learns_own() -> None:
    random = np.random.default_rng(7)
    known = ["a", "b", "c", "d"]
    labels = np.array(random.choice(known, 500), dtype=object)
    probabilities = random.dirichlet([0.4] * 4, 500)
    scores = evaluate_probabilities(labels, probabilities, known)
    predicted = np.array(known)[probabilities.argmax(axis=1)]
    assert scores.accuracy == pytest.approx(np.mean(predicted == labels), abs=1e-12)
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert scores.log_loss == pytest.approx(log_loss(labels, probabilities, labels=known), abs=1e-9)


def test_a_label_the_model_does_not_know_counts_as_wrong() -> None:
    labels = np.array(["a", "a", "new", "new"], dtype=object)
    probabilities = np.array([[1.0, 0.0]] * 4)
    scores = evaluate_probabilities(labels, probabilities, ["a", "b"])
    assert scores.accuracy == 0.5
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scores.log_loss == pytest.approx(-np.log(MIN_PROBABILITY) / 2)


NAME = "transak-i1-train-model"
SECONDS_FOR_A_PROCESS = 60
# Forked from a fresh process that has imported scikit-learn once: that takes seconds each time.
clean = multiprocessing.get_context("forkserver")
clean.set_forkserver_preload(["transak_drift.local.training", "transak_drift.local.trainer"])


def train(
    registry: ModelRegistry, files: dict[date, Path], key: str | None, label: str = "category"
) -> tuple[ModelVersion, bool]:
    return train_version(registry, files, key, "f00", label, 0)


def test_drift_leads_to_a_better_champion_once(tmp_path: Path, days: dict[date, Path]) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    quiet = {day: file for day, file in days.items() if day < DRIFT_DAY}
    first, _ = train(registry, quiet, None)
    assert first.training_run["champion_metrics"] is None
    assert first.training_run["champion_number"] is None
    assert first.training_run["promoted"]
    assert "first model" in first.training_run["promotion_reason"]
    assert first.is_champion
    assert first.training_days == (min(quiet), max(quiet))
    assert first.rows == 4 * ROWS

    second, adopted = train(registry, {DRIFT_DAY: days[DRIFT_DAY]}, "monitor/1")
    assert not adopted
    champion_score = second.training_run["champion_metrics"]["macro_f1"]
    assert second.metrics["macro_f1"] > champion_score + 0.1
    assert second.training_run["champion_number"] == 1
    assert second.training_run["dagster_run_id"] == "f00"
    assert second.training_run["files"] == [str(days[DRIFT_DAY])]
    assert second.is_champion

    assert train(registry, {}, "monitor/1") == (second, True)
    assert [version.number for version in registry.versions()] == [1, 2]


def shuffled(source: Path, destination: Path) -> Path:
    table = pq.read_table(source)
    labels = table.column("category").to_pylist()
    turned = pa.array(labels[ROWS // 2 :] + labels[: ROWS // 2])
    index = table.column_names.index("category")
    pq.write_table(table.set_column(index, "category", turned), destination)
    return destination


def test_a_worse_challenger_is_kept_but_not_promoted(
    tmp_path: Path, days: dict[date, Path]
) -> None:
    registry = ModelRegistry(tmp_path / "registry", NAME)
    quiet = sorted(day for day in days if day < DRIFT_DAY)
    first, _ = train(registry, {day: days[day] for day in quiet}, None)
    # Older days with labels that mean nothing spoil the challenger; the newest one is sound.
    spoilt = {day: shuffled(days[day], tmp_path / f"{day}.parquet") for day in quiet[:-1]} | {
        quiet[-1]: days[quiet[-1]]
    }
    version, _ = train(registry, spoilt, "monitor/2")
    assert version.metrics["macro_f1"] < version.training_run["champion_metrics"]["macro_f1"]
    assert not version.training_run["promoted"]
    assert "worse on held-out recent data" in version.training_run["promotion_reason"]
    assert registry.versions() == [first, version]
    assert registry.champion() == first


def test_data_that_cannot_be_trained_on_leave_the_registry_as_it_was(
    tmp_path: Path, days: dict[date, Path]
) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    with pytest.raises(TrainingDataError):
        train(registry, {}, "monitor/1")
    with pytest.raises(TrainingDataError):
        train(registry, days, "monitor/1", label="label")
    assert registry.versions() == []


def _train_when_told(directory: Path, files: dict[date, Path], connection: Connection) -> None:
    registry = ModelRegistry(directory, NAME)
    connection.send("ready")
    connection.recv()
    version, adopted = train(registry, files, "monitor/1")
    connection.send((version.number, adopted))


def test_of_two_processes_one_trains_and_the_other_adopts(
    tmp_path: Path, days: dict[date, Path]
) -> None:
    workers = []
    for _ in range(2):
        ours, theirs = clean.Pipe()
        process = clean.Process(target=_train_when_told, args=(tmp_path, days, theirs))
        process.start()
        workers.append((process, ours))
    for _, connection in workers:
        assert connection.poll(SECONDS_FOR_A_PROCESS)
        assert connection.recv() == "ready"
    for _, connection in workers:
        connection.send("go")
    results = []
    for process, connection in workers:
        assert connection.poll(SECONDS_FOR_A_PROCESS)
        results.append(connection.recv())
        process.join(SECONDS_FOR_A_PROCESS)
        assert process.exitcode == 0
    assert sorted(results) == [(1, False), (1, True)]
