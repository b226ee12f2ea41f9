"""Training, on real transactions: data, classifier, scores, and one version for each event."""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.config.monitoring_window import Window
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.model_registry import ModelVersion
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.trainer import (
    evaluate_probabilities,
    predict,
    read_training_rows,
    train_classifier,
    worse_by_chance,
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
    again = train_classifier([trainings.drifted], "category", 0)
    assert again.evaluation == trainings.second.metrics
    stored = trainings.training.registry.load(trainings.second)
    assert predict(again.pipeline, trainings.drifted).equals(predict(stored, trainings.drifted))


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


def split(
    files: list[Path], word: int = 0, seed: int = 0, **options: Any
) -> tuple[Counter[str], Counter[str]]:
    """Count a word of the descriptions in the training rows and in those held out."""
    *parts, _ = read_training_rows(files, "category", seed, **options)
    training, held_out = (Counter(text.split()[word] for text in part[:, 0]) for part in parts)
    return training, held_out


def test_held_out_rows_lean_to_the_newest_day_and_have_the_labels_in_proportion(
    tmp_path: Path,
) -> None:
    labels = ["a", "b", "b", "b"] * 50
    files = [day_file(tmp_path / f"{n}.parquet", labels, text=f"day{n}") for n in range(10)]
    training, held_out = split(files)
    assert (held_out.total(), held_out["day9"]) == (400, 100)
    assert all(held_out[f"day{n}"] == pytest.approx(300 / 9, abs=25) for n in range(9))
    assert all(training[f"day{n}"] + held_out[f"day{n}"] == 200 for n in range(10))
    assert split(files, 1)[1]["a"] == pytest.approx(100, abs=2)


def test_a_large_window_is_sampled_with_the_newest_day_in_front(tmp_path: Path) -> None:
    files = [
        day_file(tmp_path / f"{n}.parquet", ["a", "b"] * 100, text=f"day{n}") for n in range(5)
    ]
    training, held_out = split(files, max_rows=200)
    sampled = training + held_out
    assert sampled == Counter({"day4": 100} | {f"day{n}": 25 for n in range(4)})
    assert [part.total() for part in split(files[:1])] == [160, 40]
    assert sum(part.total() for part in split(files[:1], max_rows=100)) == 100


def test_each_label_stays_in_training(tmp_path: Path) -> None:
    labels = ["common"] * 100 + [f"rare{n}" for n in range(30)]
    path = day_file(tmp_path / "0.parquet", labels)
    for seed in range(5):
        training, held_out = split([path], 1, seed=seed)
        assert set(training) == set(labels)
        assert set(held_out) == {"common"}
    # No label occurs twice, and still something is held out.
    path = day_file(tmp_path / "1.parquet", [f"rare{n}" for n in range(60)])
    assert [part.total() for part in split([path])] == [59, 1]


def test_rows_without_a_label_are_left_out_and_others_learned_as_text(tmp_path: Path) -> None:
    path = day_file(tmp_path / "0.parquet", [6011, 6513, None] * 40)
    trained = train_classifier([path], "category", 0)
    assert trained.rows_in_window == 120
    assert list(trained.pipeline.classes_) == ["6011", "6513"]
    training, held_out = split([path], 1)
    assert training + held_out == Counter({"6011": 40, "6513": 40})


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
    few = day_file(tmp_path / "2.parquet", ["a", "b"] * 15 + [None] * 40)
    training = local_training(tmp_path)
    with pytest.raises(DatasetError, match=r"30 rows with a label.*\(40 without\).*50"):
        training.train_version({day_window(DRIFT_DAY): few}, "monitor/1", "f00")
    assert training.registry.versions() == []


def test_a_label_that_the_model_does_not_know_counts_as_wrong() -> None:
    labels = np.array(["a", "a", "new", "new"], dtype=object)
    scores = evaluate_probabilities(labels, np.array([[1.0, 0.0]] * 4), ["a", "b"])
    assert scores.accuracy == 0.5
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scores.log_loss == pytest.approx(-np.log(np.finfo(np.float64).eps) / 2)


def test_a_worse_challenger_is_kept_but_not_promoted(trainings: Trainings, tmp_path: Path) -> None:
    training = local_training(tmp_path)
    shutil.copytree(trainings.training.registry.directory, training.state.registry)
    (training.state.registry / "2.json").unlink()
    # The champion has learned from this day too, and from three others.
    day, file = max(trainings.quiet.items())
    version, _ = training.train_version({day: file}, "monitor/2", "f03")
    assert version.metrics is not None and version.champion_metrics is not None
    assert version.metrics.macro_f1 < version.champion_metrics.macro_f1
    assert not version.promoted
    assert "worse on held-out recent data" in version.reason
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


def test_a_lower_score_of_few_rows_is_chance_and_of_many_is_none() -> None:
    def probability(rows: int, wrong: int, wrong_before: int) -> float:
        labels = np.array(["a", "b"] * (rows // 2), dtype=object)
        answers, before = labels.copy(), labels.copy()
        answers[:wrong], before[rows - wrong_before :] = "c", "c"
        return worse_by_chance(labels, answers, before, seed=0)

    assert probability(60, 0, 0) == 1.0
    # One row is exchanged or not; of five, all fall on one side once in 32 times.
    assert probability(60, 1, 0) == pytest.approx(1 / 2, abs=0.05)
    assert probability(60, 5, 0) == pytest.approx(1 / 32, abs=0.02)
    assert probability(60, 4, 4) > 0.5
    assert probability(2000, 120, 40) < 0.005
    # A label that is lost is none, though as many other rows are won.
    labels = np.array(["a"] * 980 + ["b"] * 20, dtype=object)
    answers, before = labels.copy(), labels.copy()
    answers[labels == "b"], before[:20] = "a", "c"
    assert worse_by_chance(labels, answers, before, seed=0) < 0.005
