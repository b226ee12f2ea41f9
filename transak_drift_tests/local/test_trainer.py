"""The trainer, on real trainings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, log_loss

from transak_drift.local.trainer import (
    FEATURE_COLUMNS,
    MIN_PROBABILITY,
    Challenger,
    Evaluation,
    evaluate_probabilities,
    predict,
    train_classifier,
)
from transak_drift.local.training_data import TrainingDataError, read_training_data
from transak_drift.local.transaction_generator import catalogue
from transak_drift_tests.local.conftest import ROWS


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
