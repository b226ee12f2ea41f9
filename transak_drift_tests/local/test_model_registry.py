"""The model registry, on real files."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from transak_drift.local.model_registry import ModelRegistry, ModelVersion
from transak_drift.platform import PlatformError

VALUES: dict[str, Any] = {
    "drift_event_key": None,
    "run_id": "f00",
    "files": ("/data/2026-01-01.parquet",),
    "training_days": (date(2026, 1, 1), date(2026, 1, 28)),
    "rows": 140_000,
    "seed": 7,
    "metrics": {"rows": 100, "accuracy": 0.92, "macro_f1": 0.9, "log_loss": 0.2},
    "champion_before": None,
    "champion_metrics": None,
    "promoted": False,
    "reason": "worse",
    "tuning": "C = 10",
    "classes": ("food", "rent"),
    "comparison": None,
}


def fitted(slope: float = 1.0) -> Pipeline:
    values = np.linspace(-1, 1, 20).reshape(-1, 1)
    return Pipeline([("classify", LogisticRegression())]).fit(values, slope * values.ravel() > 0)


def register(
    registry: ModelRegistry, pipeline: Pipeline | None = None, **more: Any
) -> ModelVersion:
    return registry.register(pipeline or fitted(), **(VALUES | more))


def test_a_version_tells_what_was_registered(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "new" / "registry")
    assert registry.versions() == []
    assert registry.champion() is None
    before = datetime.now(UTC)
    version = register(registry, drift_event_key="monitor/1")
    assert before <= version.created <= datetime.now(UTC)
    told = version.model_dump(exclude={"created", "sha256"})
    assert told == {**VALUES, "number": 1, "drift_event_key": "monitor/1"}
    assert ModelRegistry(tmp_path / "new" / "registry").versions() == [version]
    assert registry.version_for_drift_event("monitor/1") == version
    assert registry.version_for_drift_event("monitor/2") is None
    register(registry)
    assert registry.version_for_drift_event(None) is None


def test_numbers_grow_without_gaps_and_the_champion_is_the_last_promoted(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path)
    promoted = [n in (1, 4) for n in range(1, 12)]
    assert [register(registry, promoted=item).number for item in promoted] == [*range(1, 12)]
    assert [version.promoted for version in registry.versions()] == promoted
    assert registry.champion() == registry.versions()[3]


def test_a_restored_version_is_the_champion_until_a_later_one_is_promoted(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path)
    first, second = (register(registry, promoted=True) for _ in range(2))
    with registry.training_lock():
        registry.restore(first)
        other = ModelRegistry(tmp_path).training_lock(waits=False)
        with pytest.raises(PlatformError, match="a training is in flight"), other:
            pass
    assert ModelRegistry(tmp_path).champion() == first
    register(registry)
    assert registry.champion() == first
    third = register(registry, promoted=True)
    assert registry.champion() == third
    registry.restore(second)
    assert registry.champion() == second


def test_a_crash_while_a_version_is_restored_leaves_one_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(tmp_path)
    first, second = (register(registry, promoted=True) for _ in range(2))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", die)
        registry.restore(first)
    assert registry.champion() == second
    registry.restore(first)
    (tmp_path / "1.json").rename(tmp_path / "gone")
    with pytest.raises(PlatformError, match=r"champion\.json names version 1, .*restore 1\.json"):
        registry.champion()
    (tmp_path / "champion.json").write_text("{")
    with pytest.raises(PlatformError, match=r"champion\.json does not name a version"):
        registry.champion()


class _Exploit:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.path, "executed")


def test_a_changed_model_is_refused_before_any_of_its_code_runs(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path)
    version = register(registry)
    trace = tmp_path / "trace"
    (tmp_path / "1.model").write_bytes(pickle.dumps(_Exploit(trace)))
    with pytest.raises(PlatformError, match=r"1\.model has SHA-256"):
        registry.load(version)
    assert not trace.exists()


def test_a_crash_leaves_no_half_version_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path)
    register(registry)
    (tmp_path / "2.model").write_bytes(b"as far as it came")
    (tmp_path / ".2.json.0.temporary").write_bytes(b"{")
    second = register(registry, fitted(-1.0))
    assert second.number == 2
    assert registry.load(second).predict([[1.0]]) == [False]
    document = json.loads((tmp_path / "1.json").read_text())
    for damaged in ("{", json.dumps(document | {"metrics": None})):
        (tmp_path / "1.json").write_text(damaged)
        with pytest.raises(PlatformError, match=r"1\.json is no version .*restore it"):
            registry.versions()


def test_a_version_is_on_the_disk_before_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each file that is synced, by the names that the directory had then.
    synced: dict[str, set[str]] = {}

    def record(descriptor: int) -> None:
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced[file.name] = {path.name for path in tmp_path.iterdir()}

    monkeypatch.setattr(os, "fsync", record)
    register(ModelRegistry(tmp_path))
    model, document = (
        next(names for name, names in synced.items() if name.startswith(f".1.{kind}"))
        for kind in ("model", "json")
    )
    assert "1.model" not in model and "1.json" not in model
    assert "1.model" in document and "1.json" not in document
    assert {"1.model", "1.json"} <= synced[tmp_path.name]


def test_a_registry_of_an_earlier_version_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").touch()
    with pytest.raises(PlatformError, match=rf"index\.sqlite .* move {tmp_path} away and run "):
        ModelRegistry(tmp_path)
