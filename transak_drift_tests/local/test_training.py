"""One training: train, compare, register, promote, once for each drift event."""

from __future__ import annotations

import multiprocessing
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.local.model_registry import ModelRegistry, ModelVersion
from transak_drift.local.training import train_version
from transak_drift.local.training_data import TrainingDataError
from transak_drift_tests.local.conftest import DRIFT_DAY, ROWS

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
