"""Dagster's storage is locked by another process, or its disk is full."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from transak_drift_tests.faults.broken_loop import BrokenLoop
from transak_drift_tests.faults.sensor_process import SensorFailedError


@contextmanager
def locked(database: Path) -> Generator[None]:
    """Hold a database so that nobody else can even read it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        # Write-ahead logs are read without a lock; a rollback journal is not.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("file", ["history/runs.db", "history/runs/index.db"])
def test_storage_is_locked_during_a_tick(loop: BrokenLoop, file: str) -> None:
    name = Path(file).stem
    loop.publish_one_of_each(f"first-{name}")
    assert loop.tick()
    loop.publish_one_of_each(f"locked-{name}")
    waiting = loop.unacknowledged()
    cursor = loop.cursor
    with locked(loop.dagster_home / file), pytest.raises(SensorFailedError, match="locked"):
        loop.evaluate()
    assert loop.cursor == cursor
    loop.check()
    # What cannot be recorded is not acknowledged; what is recorded is decided at a later tick.
    assert loop.unacknowledged() == (waiting if file.endswith("index.db") else set())
    loop.settle()
