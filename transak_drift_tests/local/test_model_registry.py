"""The model registry: real files, real processes, real kills."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from transak_drift.local.model_registry import (
    SCHEMA_VERSION,
    ModelRegistry,
    ModelRegistryError,
    ModelVersion,
)

NAME = "transak-i1-train-model"
DAYS = (date(2026, 1, 1), date(2026, 1, 28))
SECONDS_FOR_A_PROCESS = 60
# Forked from a fresh process that has imported scikit-learn once: that takes seconds each time.
clean = multiprocessing.get_context("forkserver")
clean.set_forkserver_preload(["transak_drift.local.model_registry"])


def fitted(slope: float = 1.0) -> Pipeline:
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression())])
    values = np.linspace(-1, 1, 20).reshape(-1, 1)
    return pipeline.fit(values, slope * values.ravel() > 0)


def register(
    registry: ModelRegistry, key: str | None = None, pipeline: Pipeline | None = None, **more: Any
) -> ModelVersion:
    values: dict[str, Any] = {
        "metrics": {"macro_f1": 0.9, "classes": [{"label": "rent", "f1": 0.8}]},
        "training_days": DAYS,
        "rows": 140_000,
        "training_run": {"run_id": "f00"},
        "drift_event_key": key,
    }
    return registry.register(pipeline or fitted(), **(values | more))


def artifacts(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "artifacts").iterdir())


def test_a_version_tells_what_was_registered(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "new" / "registry", NAME)
    assert registry.versions() == []
    assert registry.champion() is None
    before = datetime.now(UTC)
    version = register(registry, "monitor/1")
    assert before <= version.created <= datetime.now(UTC)
    assert version.number == 1
    assert version.metrics == {"macro_f1": 0.9, "classes": [{"label": "rent", "f1": 0.8}]}
    assert version.training_days == DAYS
    assert version.rows == 140_000
    assert version.training_run == {"run_id": "f00"}
    assert version.drift_event_key == "monitor/1"
    assert not version.is_champion
    assert version.resource_name == f"models/{NAME}@1"
    assert version.artifact.parent == tmp_path / "new" / "registry" / "artifacts"
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
    assert registry.promote(3).is_champion
    registry.promote(3)
    assert registry.champion() == registry.version(3)
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        promoted = connection.execute("SELECT number FROM promotions ORDER BY sequence").fetchall()
    connection.close()
    assert promoted == [(1,), (3,)]


def test_a_drift_event_has_one_version(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    first = register(registry, "monitor/1", fitted(1.0))
    again = register(ModelRegistry(tmp_path, NAME), "monitor/1", fitted(-1.0), promote=True)
    assert again == first
    assert registry.champion() is None
    assert len(artifacts(tmp_path)) == 1
    assert register(registry, "monitor/2").number == 2
    assert registry.version_for_drift_event("monitor/2") == registry.version(2)
    assert registry.version_for_drift_event("monitor/3") is None
    assert {register(registry).number, register(registry).number} == {3, 4}


def test_models_in_one_directory_are_apart(tmp_path: Path) -> None:
    one, other = ModelRegistry(tmp_path, "one"), ModelRegistry(tmp_path, "../other; DROP TABLE")
    register(one, "monitor/1", promote=True)
    assert other.versions() == []
    assert register(other, "monitor/1").resource_name == "models/../other; DROP TABLE@1"
    assert other.champion() is None
    assert other.load(other.version(1)).predict([[1.0]])
    assert not (tmp_path.parent / "other; DROP TABLE").exists()
    assert len(artifacts(tmp_path)) == 2


def test_unknown_versions_are_refused_with_those_there_are(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    register(registry)
    for act in (registry.version, registry.promote):
        with pytest.raises(ModelRegistryError, match=r"no version 7; .* has \[1\]"):
            act(7)
    assert registry.champion() is None


def test_unusable_values_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    with pytest.raises(TypeError):
        register(registry, metrics={"macro_f1": object()})
    assert registry.versions() == []
    assert artifacts(tmp_path) == []


class _Exploit:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.path, "executed")


def test_a_changed_file_is_refused_before_any_of_its_code_runs(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "registry", NAME)
    version = register(registry)
    trace = tmp_path / "trace"
    version.artifact.write_bytes(pickle.dumps(_Exploit(trace)))
    with pytest.raises(ModelRegistryError, match=f"models/{NAME}@1: .* has SHA-256"):
        registry.load(version)
    assert not trace.exists()
    version.artifact.unlink()
    with pytest.raises(ModelRegistryError, match="is missing"):
        registry.load(version)


def test_an_index_cannot_point_out_of_the_registry(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "registry", NAME)
    version = register(registry)
    trace = tmp_path / "trace"
    outside = tmp_path / "outside.joblib"
    outside.write_bytes(pickle.dumps(_Exploit(trace)))
    digest = hashlib.sha256(outside.read_bytes()).hexdigest()
    with sqlite3.connect(tmp_path / "registry" / "index.sqlite") as connection:
        connection.execute(
            "UPDATE versions SET artifact = ?, sha256 = ?", ("../../outside.joblib", digest)
        )
    connection.close()
    with pytest.raises(ModelRegistryError, match="is missing"):
        registry.load(version)
    assert not trace.exists()


def test_a_damaged_or_newer_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "index.sqlite").write_text("no database, but long enough to be read")
    with pytest.raises(ModelRegistryError, match=r"index\.sqlite is not a usable index"):
        ModelRegistry(tmp_path / "damaged", NAME)
    ModelRegistry(tmp_path / "newer", NAME)
    with sqlite3.connect(tmp_path / "newer" / "index.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(ModelRegistryError, match="schema version"):
        ModelRegistry(tmp_path / "newer", NAME)


def test_threads_register_and_promote_at_once(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path, NAME)
    pipeline = fitted()

    def work(index: int) -> int:
        version = register(registry, f"monitor/{index % 3}", pipeline)
        registry.promote(version.number)
        return version.number

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(work, range(12)))
    assert set(numbers) == {1, 2, 3}
    assert len(set(zip(numbers, (n % 3 for n in range(12)), strict=True))) == 3
    assert [version.number for version in registry.versions()] == [1, 2, 3]
    assert sum(version.is_champion for version in registry.versions()) == 1
    assert len(artifacts(tmp_path)) == 3


class _StopsInThePickle:
    """Tells when half of the model is written, and waits there."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __getstate__(self) -> dict[str, object]:
        self.connection.send("half written")
        self.connection.recv()
        return {}


def _stop_in_the_pickle(directory: Path, connection: Connection) -> None:
    registry = ModelRegistry(directory, NAME)
    noise = np.random.default_rng(0).integers(0, 255, 3_000_000, dtype=np.uint8)
    parts = [("noise", noise), ("stop", _StopsInThePickle(connection))]
    register(registry, "monitor/1", Pipeline(parts))


class _StopsBeforeTheCommit(ModelRegistry):
    connection: Connection

    def _write_artifact(self, pipeline: Pipeline) -> tuple[str, str]:
        written = super()._write_artifact(pipeline)
        self.connection.send("written")
        self.connection.recv()
        return written


def _stop_before_the_commit(directory: Path, connection: Connection) -> None:
    registry = _StopsBeforeTheCommit(directory, NAME)
    registry.connection = connection
    register(registry, "monitor/1", promote=True)


@pytest.mark.parametrize("work", [_stop_in_the_pickle, _stop_before_the_commit])
def test_a_process_killed_while_registering_leaves_a_clean_registry(
    tmp_path: Path, work: Callable[[Path, Connection], None]
) -> None:
    watching = ModelRegistry(tmp_path, NAME)
    earlier = register(watching, "monitor/0", promote=True)
    ours, theirs = clean.Pipe()
    process = clean.Process(target=work, args=(tmp_path, theirs))
    process.start()
    assert process.pid is not None
    try:
        assert ours.poll(SECONDS_FOR_A_PROCESS)
        assert ours.recv() in ("half written", "written")
        assert len(artifacts(tmp_path)) == 2
        assert watching.versions() == [earlier]
        # Opening meanwhile neither waits for the writer nor removes what it writes.
        assert ModelRegistry(tmp_path, NAME).versions() == [earlier]
        assert len(artifacts(tmp_path)) == 2
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join(SECONDS_FOR_A_PROCESS)
    assert process.exitcode == -signal.SIGKILL
    assert watching.versions() == [earlier]

    reopened = ModelRegistry(tmp_path, NAME)
    assert artifacts(tmp_path) == [earlier.artifact.name]
    assert reopened.champion() == earlier
    again = register(reopened, "monitor/1")
    assert again.number == 2
    assert reopened.load(again).predict([[1.0]]) == [True]
