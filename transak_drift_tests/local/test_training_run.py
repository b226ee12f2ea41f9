"""One training: train, compare, register, promote, once for each drift event."""

from __future__ import annotations

import multiprocessing
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.local.model_registry import ModelRegistry
from transak_drift.local.trainer import TrainingDataError
from transak_drift.local.training_run import TrainingOutcome, train_version
from transak_drift.local.transaction_generator import (
    DriftInjection,
    GeneratorSettings,
    generate_day,
)

NAME = "transak-i1-train-model"
DRIFT_DAY = date(2026, 3, 5)
SECONDS_FOR_A_PROCESS = 60
# Forked from a fresh process that has imported scikit-learn once: that takes seconds each time.
clean = multiprocessing.get_context("forkserver")
clean.set_forkserver_preload(["transak_drift.local.training_run"])


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[date, Path]:
    directory = tmp_path_factory.mktemp("transactions")
    generator = GeneratorSettings(
        seed=21, rows_per_day=1500, injections=(DriftInjection(DRIFT_DAY),)
    )
    files = {}
    for n in range(-3, 1):
        day = DRIFT_DAY + timedelta(days=n)
        files[day] = directory / f"{day}.parquet"
        pq.write_table(generate_day(day, generator), files[day])
    return files


def train(
    registry: ModelRegistry, files: dict[date, Path], key: str | None, tolerance: float = 0.0
) -> TrainingOutcome:
    return train_version(
        registry,
        files,
        label_column="category",
        drift_event_key=key,
        tolerance=tolerance,
        training_run={"dagster_run_id": "f00"},
    )


def test_drift_leads_to_a_better_champion_once(tmp_path: Path, days: dict[date, Path]) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    quiet = {day: file for day, file in days.items() if day < DRIFT_DAY}
    first = train(registry, quiet, None)
    assert first.champion is None
    assert first.champion_number is None
    assert first.decision.promote
    assert "first model" in first.decision.reason
    assert first.version.is_champion
    assert first.version.training_days == (min(quiet), max(quiet))
    assert first.version.rows == 4500

    second = train(registry, {DRIFT_DAY: days[DRIFT_DAY]}, "monitor/1")
    assert second.champion is not None
    assert second.challenger.macro_f1 > second.champion.macro_f1 + 0.1
    assert second.champion_number == 1
    assert second.decision.promote
    assert second.version.is_champion
    assert second.version.training_run["dagster_run_id"] == "f00"

    again = train(registry, {}, "monitor/1")
    assert again.adopted
    assert not second.adopted
    assert again.version == second.version
    assert (again.decision, again.challenger, again.champion, again.champion_number) == (
        second.decision,
        second.challenger,
        second.champion,
        second.champion_number,
    )
    assert [version.number for version in registry.versions()] == [1, 2]


def shuffled(source: Path, destination: Path) -> Path:
    table = pq.read_table(source)
    labels = table.column("category").to_pylist()
    turned = pa.array(labels[700:] + labels[:700])
    index = table.column_names.index("category")
    pq.write_table(table.set_column(index, "category", turned), destination)
    return destination


def test_a_worse_challenger_is_kept_but_not_promoted(
    tmp_path: Path, days: dict[date, Path]
) -> None:
    registry = ModelRegistry(tmp_path / "registry", NAME)
    quiet = sorted(day for day in days if day < DRIFT_DAY)
    train(registry, {day: days[day] for day in quiet}, None)
    # Older days with labels that mean nothing spoil the challenger; the newest one is sound.
    spoilt = {day: shuffled(days[day], tmp_path / f"{day}.parquet") for day in quiet[:-1]} | {
        quiet[-1]: days[quiet[-1]]
    }
    outcome = train(registry, spoilt, "monitor/2")
    assert outcome.champion is not None
    assert outcome.challenger.macro_f1 < outcome.champion.macro_f1
    assert not outcome.decision.promote
    assert "worse on held-out recent data" in outcome.decision.reason
    assert not outcome.version.is_champion
    champion = registry.champion()
    assert champion is not None
    assert champion.number == 1
    assert train(registry, spoilt, "monitor/3", tolerance=1.0).version.is_champion


def test_data_that_cannot_be_trained_on_leave_the_registry_as_it_was(
    tmp_path: Path, days: dict[date, Path]
) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    with pytest.raises(TrainingDataError):
        train(registry, {}, "monitor/1")
    with pytest.raises(TrainingDataError):
        train_version(registry, days, label_column="label", drift_event_key="monitor/1")
    assert registry.versions() == []


def _train_when_told(directory: Path, files: dict[date, Path], connection: Connection) -> None:
    registry = ModelRegistry(directory, NAME)
    connection.send("ready")
    connection.recv()
    outcome = train(registry, files, "monitor/1")
    connection.send((outcome.version.number, outcome.adopted))


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
