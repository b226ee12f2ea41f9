"""Versions of the local platform's model in one SQLite file."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
from filelock import FileLock
from pydantic import BaseModel, Json

from transak_drift.platform import PlatformError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SCHEMA_VERSION = 2
_SCHEMA = f"""
    BEGIN IMMEDIATE;
    CREATE TABLE versions (
        model_name TEXT NOT NULL,
        number INTEGER NOT NULL CHECK (number > 0),
        created TEXT NOT NULL,
        metrics TEXT NOT NULL,
        first_day TEXT NOT NULL,
        last_day TEXT NOT NULL,
        rows INTEGER NOT NULL CHECK (rows >= 0),
        drift_event_key TEXT,
        training_run TEXT NOT NULL,
        promoted INTEGER NOT NULL,
        model BLOB NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (model_name, number),
        UNIQUE (model_name, drift_event_key)
    ) STRICT;
    PRAGMA user_version = {SCHEMA_VERSION};
    COMMIT;
"""
_SECONDS_TO_WAIT_FOR_A_WRITER = 60.0


class ModelVersion(BaseModel, frozen=True):
    """One registered version of the model, with its training window's first and last day."""

    number: int
    created: datetime
    metrics: Json[dict[str, Any]]
    training_days: Json[tuple[date, date]]
    rows: int
    drift_event_key: str | None
    training_run: Json[dict[str, Any]]
    is_champion: bool


class ModelRegistry:
    """The versions of one model; several models may share the directory.

    Safe for several processes and against a crash at any moment: a version is one row, with its
    model, and whether it was promoted. The champion is the last that was.
    """

    def __init__(self, directory: Path, model_name: str) -> None:
        self.directory = directory.absolute()
        self.model_name = model_name
        self._file = self.directory / "index.sqlite"
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.directory / "index.lock"), self._connection() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    connection.executescript(_SCHEMA)
                elif version != SCHEMA_VERSION:
                    raise sqlite3.DatabaseError(
                        f"its schema version is {version}, this release knows {SCHEMA_VERSION}"
                    )
        except sqlite3.DatabaseError as error:
            raise PlatformError(
                f"{self._file} is not a usable index of models: {error}; "
                "fix: restore it from a copy, or name another directory"
            ) from error

    def register(
        self,
        pipeline: Pipeline,
        *,
        metrics: Mapping[str, Any],
        training_days: tuple[date, date],
        rows: int,
        training_run: Mapping[str, Any],
        drift_event_key: str | None,
        promote: bool = False,
    ) -> ModelVersion:
        """Make a trained model a version, and by `promote` the champion, in one step.

        Where the drift event has a version already, that one is returned unchanged.
        """
        file = io.BytesIO()
        joblib.dump(pipeline, file, compress=1)
        values: dict[str, Any] = {
            "model_name": self.model_name,
            "created": datetime.now(UTC).isoformat(),
            "metrics": json.dumps(metrics, sort_keys=True),
            "first_day": training_days[0].isoformat(),
            "last_day": training_days[1].isoformat(),
            "rows": rows,
            "drift_event_key": drift_event_key,
            "training_run": json.dumps(training_run, sort_keys=True),
            "promoted": promote,
            "model": file.getvalue(),
            "sha256": hashlib.sha256(file.getbuffer()).hexdigest(),
        }
        with self._connection() as connection:
            # Numbered and inserted in one statement; a drift event's second version is passed over.
            row = connection.execute(
                f"INSERT INTO versions (number, {', '.join(values)})"
                f" SELECT coalesce(max(number), 0) + 1, {', '.join(f':{name}' for name in values)}"
                " FROM versions WHERE model_name = :model_name"
                " ON CONFLICT (model_name, drift_event_key) DO NOTHING RETURNING number",
                values,
            ).fetchone()
        if row is None:
            return self._select("AND drift_event_key = ?", (drift_event_key,))[0]
        return self._select("AND number = ?", (row["number"],))[0]

    def versions(self) -> list[ModelVersion]:
        """Return all versions, by number."""
        return self._select()

    def version_for_drift_event(self, drift_event_key: str | None) -> ModelVersion | None:
        """Return the version that was trained for a drift event, or None."""
        return next(iter(self._select("AND drift_event_key = ?", (drift_event_key,))), None)

    def champion(self) -> ModelVersion | None:
        """Return the version in use, or None before the first promotion."""
        return next(iter(self._select("AND is_champion")), None)

    def load(self, version: ModelVersion) -> Pipeline:
        """Load a version's model; unpickling runs code, so only what was registered is read."""
        with self._connection() as connection:
            model, registered = connection.execute(
                "SELECT model, sha256 FROM versions WHERE model_name = ? AND number = ?",
                (self.model_name, version.number),
            ).fetchone()
        found = hashlib.sha256(model).hexdigest()
        if found != registered:
            raise PlatformError(
                f"models/{self.model_name}@{version.number} in {self._file} has SHA-256 {found}, "
                f"registered was {registered}; fix: restore the file from a copy"
            )
        return joblib.load(io.BytesIO(model))

    @contextmanager
    def training_lock(self) -> Generator[None]:
        """Hold the right to train: while one process trains, another waits here."""
        with FileLock(self.directory / "training.lock"):
            yield

    def _select(self, condition: str = "", parameters: tuple[Any, ...] = ()) -> list[ModelVersion]:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT * FROM (SELECT number, created, metrics, rows, drift_event_key,"
                " json_array(first_day, last_day) AS training_days, training_run,"
                " number IS max(number) FILTER (WHERE promoted) OVER () AS is_champion"
                f" FROM versions WHERE model_name = ?) WHERE true {condition} ORDER BY number",
                (self.model_name, *parameters),
            ).fetchall()
        return [ModelVersion.model_validate(dict(row)) for row in rows]

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        """Open the index in autocommit mode, with commits that reach the disk."""
        opened = sqlite3.connect(
            self._file, timeout=_SECONDS_TO_WAIT_FOR_A_WRITER, isolation_level=None
        )
        with closing(opened) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
