"""The model registry: real files, real processes, real kills."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from transak_drift.local.model_registry import (
    SCHEMA_VERSION,
    ModelRegistry,
    ModelVersion,
)
from transak_drift.platform import PlatformError

NAME = "transak-i1-train-model"
DAYS = (date(2026, 1, 1), date(2026, 1, 28))


def fitted(slope: float = 1.0) -> Pipeline:
    values = np.linspace(-1, 1, 20).reshape(-1, 1)
    return Pipeline([("classify", LogisticRegression())]).fit(values, slope * values.ravel() > 0)


def register(
    registry: ModelRegistry, key: str | None = None, pipeline: Pipeline | None = None, **more: Any
) -> ModelVersion:
    values: dict[str, Any] = {
        "metrics": {"macro_f1": 0.9},
        "training_days": DAYS,
        "rows": 140_000,
        "training_run": {"run_id": "f00"},
        "drift_event_key": key,
    }
    return registry.register(pipeline or fitted(), **(values | more))


@contextmanager
def index(directory: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(directory / "index.sqlite")) as connection, connection:
        yield connection


def test_a_version_tells_what_was_registered(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "new" / "registry", NAME)
    assert registry.versions() == []
    assert registry.champion() is None
    before = datetime.now(UTC)
    version = register(registry, "monitor/1")
    assert before <= version.created <= datetime.now(UTC)
    assert version.model_dump(exclude={"created"}) == {
        "number": 1,
        "metrics": {"macro_f1": 0.9},
        "training_days": DAYS,
        "rows": 140_000,
        "training_run": {"run_id": "f00"},
        "drift_event_key": "monitor/1",
        "is_champion": False,
    }
    assert ModelRegistry(tmp_path / "new" / "registry", NAME).versions() == [version]


def test_a_loaded_model_predicts_as_the_registered_one(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    values = np.array([[-0.7], [0.4]])
    for pipeline in (fitted(1.0), fitted(-1.0)):
        loaded = registry.load(register(registry, pipeline=pipeline))
        assert np.array_equal(loaded.predict_proba(values), pipeline.predict_proba(values))


def test_numbers_grow_without_gaps_and_the_champion_is_the_last_promoted(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    assert register(registry, promote=True).is_champion
    assert [register(registry).number for _ in range(2)] == [2, 3]
    assert [version.is_champion for version in registry.versions()] == [True, False, False]
    assert register(registry, promote=True).number == 4
    assert [version.is_champion for version in registry.versions()] == [False, False, False, True]
    assert registry.champion() == registry.versions()[3]


def test_a_drift_event_has_one_version(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    first = register(registry, "monitor/1", fitted(1.0))
    again = register(ModelRegistry(tmp_path, NAME), "monitor/1", fitted(-1.0), promote=True)
    assert again == first
    assert registry.champion() is None
    assert register(registry, "monitor/2").number == 2
    assert registry.version_for_drift_event("monitor/2") == registry.versions()[1]
    assert registry.version_for_drift_event("monitor/3") is None
    assert {register(registry).number, register(registry).number} == {3, 4}


def test_models_in_one_directory_are_apart(tmp_path: Path) -> None:
    one, other = ModelRegistry(tmp_path, "one"), ModelRegistry(tmp_path, "../other; DROP TABLE")
    register(one, "monitor/1", promote=True)
    assert other.versions() == []
    assert register(other, "monitor/1").number == 1
    assert other.champion() is None
    assert other.load(other.versions()[0]).predict([[1.0]])


def test_unusable_values_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    with pytest.raises(TypeError):
        register(registry, metrics={"macro_f1": object()})
    assert registry.versions() == []


class _Exploit:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.path, "executed")


def test_a_changed_model_is_refused_before_any_of_its_code_runs(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    version = register(registry)
    trace = tmp_path / "trace"
    with index(tmp_path) as connection:
        connection.execute("UPDATE versions SET model = ?", (pickle.dumps(_Exploit(trace)),))
    with pytest.raises(PlatformError, match=f"models/{NAME}@1 .* has SHA-256"):
        registry.load(version)
    assert not trace.exists()


def test_a_damaged_index_or_one_of_another_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "index.sqlite").write_text("no database, but long enough to be read")
    with pytest.raises(PlatformError, match=r"index\.sqlite is not a usable index"):
        ModelRegistry(tmp_path / "damaged", NAME)
    ModelRegistry(tmp_path / "newer", NAME)
    for version in (SCHEMA_VERSION - 1, SCHEMA_VERSION + 1):
        with index(tmp_path / "newer") as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(PlatformError, match=f"schema version is {version}"):
            ModelRegistry(tmp_path / "newer", NAME)


def test_threads_register_at_once(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    pipeline = fitted()

    def work(number: int) -> int:
        return register(registry, f"monitor/{number % 3}", pipeline, promote=True).number

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(work, range(12)))
    assert len(set(zip(numbers, (n % 3 for n in range(12)), strict=True))) == 3
    assert [version.number for version in registry.versions()] == [1, 2, 3]
    assert registry.champion() == registry.versions()[2]
