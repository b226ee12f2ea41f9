"""Versions of the local platform's model: artifacts in a directory, their index in SQLite."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import uuid
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock, Timeout
from sklearn.pipeline import Pipeline

from transak_drift.local.atomic_file import sync_to_disk

SCHEMA_VERSION = 1
_SCHEMA = f"""
    BEGIN;
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
        artifact TEXT NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (model_name, number),
        UNIQUE (model_name, drift_event_key)
    ) STRICT;
    CREATE TABLE promotions (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        model_name TEXT NOT NULL,
        number INTEGER NOT NULL,
        promoted TEXT NOT NULL,
        FOREIGN KEY (model_name, number) REFERENCES versions (model_name, number)
    ) STRICT;
    PRAGMA user_version = {SCHEMA_VERSION};
    COMMIT;
"""
_SECONDS_TO_WAIT_FOR_A_WRITER = 60.0


class ModelRegistryError(RuntimeError):
    """The registry cannot do what is asked; the message names the version and the way out."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version of the model.

    Args:
        model_name: name of the model.
        number: 1 for the first version, then without gaps.
        created: when it was registered, UTC.
        metrics: its scores on held-out rows.
        training_days: first and last day of the training window.
        rows: rows of the training window.
        drift_event_key: the drift event that it was trained for, or None.
        training_run: what else is known of the training.
        is_champion: True where it is the present champion, as of reading.
        artifact: the model's file.
        sha256: digest of that file as registered.
    """

    model_name: str
    number: int
    created: datetime
    metrics: Mapping[str, Any]
    training_days: tuple[date, date]
    rows: int
    drift_event_key: str | None
    training_run: Mapping[str, Any]
    is_champion: bool
    artifact: Path
    sha256: str

    @property
    def resource_name(self) -> str:
        """Name of the version, `models/<model name>@<number>`, as Vertex AI writes it."""
        return f"models/{self.model_name}@{self.number}"


class ModelRegistry:
    """The versions of one model; several models may share the directory.

    Safe for several processes and against a crash at any moment: a version exists from the
    commit of its index row on, which comes after its file has reached the disk. What a crash
    leaves behind is invisible, and removed when the registry is opened next.
    """

    def __init__(self, directory: Path, model_name: str) -> None:
        self.directory = directory.absolute()
        self.model_name = model_name
        self._artifacts = self.directory / "artifacts"
        self._index = self.directory / "index.sqlite"
        self._artifacts.mkdir(parents=True, exist_ok=True)
        self._create_index()
        try:
            with self._write_lock(timeout=0):
                self._remove_unreferenced_artifacts()
        except Timeout:
            # Another process is registering; the next registration cleans up.
            pass

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
        """Make a trained model a version, once for each drift event.

        `promote` makes it the champion in the same step. Where the drift event has a version
        already, that one is returned unchanged.
        """
        values: dict[str, Any] = {
            "model_name": self.model_name,
            "created": datetime.now(UTC).isoformat(),
            "metrics": json.dumps(metrics, sort_keys=True),
            "first_day": training_days[0].isoformat(),
            "last_day": training_days[1].isoformat(),
            "rows": rows,
            "drift_event_key": drift_event_key,
            "training_run": json.dumps(training_run, sort_keys=True),
        }
        with self._write_lock():
            existing = self.version_for_drift_event(drift_event_key)
            if existing is not None:
                return existing
            self._remove_unreferenced_artifacts()
            values["artifact"], values["sha256"] = self._write_artifact(pipeline)
            with self._transaction() as connection:
                (number,) = connection.execute(
                    "SELECT coalesce(max(number), 0) + 1 FROM versions WHERE model_name = ?",
                    (self.model_name,),
                ).fetchone()
                values["number"] = number
                connection.execute(
                    f"INSERT INTO versions ({', '.join(values)})"
                    f" VALUES ({', '.join(f':{column}' for column in values)})",
                    values,
                )
                if promote:
                    self._promote(connection, number)
        return self.version(number)

    def version(self, number: int) -> ModelVersion:
        """Return a version by its number."""
        found = self._select("AND number = ?", (number,))
        if not found:
            existing = [version.number for version in self.versions()]
            raise ModelRegistryError(
                f"model {self.model_name!r} has no version {number}; "
                f"{self.directory} has {existing or 'none'}"
            )
        return found[0]

    def versions(self) -> list[ModelVersion]:
        """Return all versions, by number."""
        return self._select()

    def version_for_drift_event(self, drift_event_key: str | None) -> ModelVersion | None:
        """Return the version that was trained for a drift event, or None."""
        return next(iter(self._select("AND drift_event_key = ?", (drift_event_key,))), None)

    def champion(self) -> ModelVersion | None:
        """Return the version in use, or None before the first promotion."""
        return next((version for version in self.versions() if version.is_champion), None)

    def promote(self, number: int) -> ModelVersion:
        """Make a version the champion, in one step; nothing changes where it is already."""
        self.version(number)
        with self._transaction() as connection:
            if self._champion_number(connection) != number:
                self._promote(connection, number)
        return self.version(number)

    def load(self, version: ModelVersion) -> Pipeline:
        """Load a version's model.

        Unpickling runs code, so only a file inside of the registry whose content is the
        registered one is read; its name comes from the index, never from the caller.
        """
        version = self.version(version.number)
        try:
            content = version.artifact.read_bytes()
        except FileNotFoundError:
            raise ModelRegistryError(
                f"{version.resource_name}: {version.artifact} is missing; "
                "fix: restore the file or promote another version"
            ) from None
        # The hashed bytes are the ones unpickled: a file swapped in between changes nothing.
        found = hashlib.sha256(content).hexdigest()
        if found != version.sha256:
            raise ModelRegistryError(
                f"{version.resource_name}: {version.artifact} has SHA-256 {found}, registered was "
                f"{version.sha256}; fix: restore the file or promote another version"
            )
        return joblib.load(io.BytesIO(content))

    @contextmanager
    def training_lock(self) -> Generator[None]:
        """Hold the right to train: while one process trains, another waits here."""
        with FileLock(self.directory / "training.lock"):
            yield

    def _select(self, condition: str = "", parameters: tuple[Any, ...] = ()) -> list[ModelVersion]:
        with self._connection() as connection:
            # One read transaction: the champion and the versions belong together.
            connection.execute("BEGIN")
            champion = self._champion_number(connection)
            rows = connection.execute(
                f"SELECT * FROM versions WHERE model_name = ? {condition} ORDER BY number",
                (self.model_name, *parameters),
            ).fetchall()
        return [
            ModelVersion(
                model_name=self.model_name,
                number=row["number"],
                created=datetime.fromisoformat(row["created"]),
                metrics=json.loads(row["metrics"]),
                training_days=(
                    date.fromisoformat(row["first_day"]),
                    date.fromisoformat(row["last_day"]),
                ),
                rows=row["rows"],
                drift_event_key=row["drift_event_key"],
                training_run=json.loads(row["training_run"]),
                is_champion=row["number"] == champion,
                artifact=self._artifacts / Path(row["artifact"]).name,
                sha256=row["sha256"],
            )
            for row in rows
        ]

    def _champion_number(self, connection: sqlite3.Connection) -> int | None:
        row = connection.execute(
            "SELECT number FROM promotions WHERE model_name = ? ORDER BY sequence DESC LIMIT 1",
            (self.model_name,),
        ).fetchone()
        return None if row is None else row["number"]

    def _promote(self, connection: sqlite3.Connection, number: int) -> None:
        connection.execute(
            "INSERT INTO promotions (model_name, number, promoted) VALUES (?, ?, ?)",
            (self.model_name, number, datetime.now(UTC).isoformat()),
        )

    def _write_artifact(self, pipeline: Pipeline) -> tuple[str, str]:
        path = self._artifacts / f"{uuid.uuid4().hex}.joblib"
        with path.open("wb") as file:
            joblib.dump(pipeline, file, compress=1)
        sync_to_disk(path)
        sync_to_disk(self._artifacts)
        return path.name, hashlib.sha256(path.read_bytes()).hexdigest()

    def _remove_unreferenced_artifacts(self) -> None:
        with self._connection() as connection:
            referenced = {row[0] for row in connection.execute("SELECT artifact FROM versions")}
        for path in self._artifacts.glob("*.joblib"):
            if path.name not in referenced:
                path.unlink(missing_ok=True)

    def _write_lock(self, timeout: float = -1) -> FileLock:
        # The kernel releases it when its holder dies, so a crash leaves no lock behind.
        return FileLock(self.directory / "write.lock", timeout=timeout)

    def _create_index(self) -> None:
        try:
            # Not the write lock: opening must not wait for a model to be written.
            with FileLock(self.directory / "index.lock"), self._connection() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version > SCHEMA_VERSION:
                    raise sqlite3.DatabaseError(
                        f"its schema version is {version}, this release knows {SCHEMA_VERSION}"
                    )
                if version == 0:
                    connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise ModelRegistryError(
                f"{self._index} is not a usable index of models: {error}; "
                "fix: restore it from a copy, or name another directory"
            ) from error

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        """Open the index in autocommit mode, with commits that reach the disk."""
        opened = sqlite3.connect(
            self._index, timeout=_SECONDS_TO_WAIT_FOR_A_WRITER, isolation_level=None
        )
        with closing(opened) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        # Leaving sqlite3's own context commits, or rolls back after an exception.
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
