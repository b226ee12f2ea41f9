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
from transak_drift.config.sections import PromotionPolicy
from transak_drift.local.dataset_files import DatasetError
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
        assert few.tolist() == all_.tolist()
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
    new = shops(tmp_path / "new.parquet", **quiet, kiosk=("sbb", 900), pharmacy=("coop", 300))
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
    categories = table.column("category").to_pylist()
    other = pa.array(categories[1:] + categories[:1])
    file = tmp_path / "wrong_labels.parquet"
    pq.write_table(table.set_column(table.column_names.index("category"), "category", other), file)
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
