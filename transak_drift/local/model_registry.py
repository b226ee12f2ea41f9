"""Versions of the local platform's model: artifacts in a directory, their index in SQLite."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock, Timeout
from sklearn.pipeline import Pipeline

from transak_drift.local.atomic_file import sync_to_disk
from transak_drift.local.registry_index import connect, create_index, transaction

_ARTIFACT_SUFFIX = ".joblib"


class ModelRegistryError(RuntimeError):
    """The registry cannot do what is asked; the message names the version and the way out."""


class UnknownVersionError(ModelRegistryError):
    """There is no such version of the model."""


class ArtifactChangedError(ModelRegistryError):
    """A version's file is missing or is not the one that was registered; it is not loaded."""


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

    @property
    def resource_name(self) -> str:
        """Name of the version, `models/<model name>@<number>`, as Vertex AI writes it."""
        return f"models/{self.model_name}@{self.number}"


class ModelRegistry:
    """The versions of one model.

    Safe for several processes and against a crash at any moment: a version exists from the
    commit of its index row on, which comes after its file has reached the disk. What a crash
    leaves behind is invisible and removed when the registry is opened next.

    Args:
        directory: where the index and the artifacts are; made if missing. Several models may
            share it.
        model_name: name of the model.

    Raises:
        ModelRegistryError: the directory's index is damaged or from a newer release.
    """

    def __init__(self, directory: Path, model_name: str) -> None:
        if not model_name.strip():
            raise ValueError(f"model_name = {model_name!r}: is empty; fix: name the model")
        self.directory = directory.absolute()
        self.model_name = model_name
        self._artifacts = self.directory / "artifacts"
        self._index = self.directory / "index.sqlite"
        self._artifacts.mkdir(parents=True, exist_ok=True)
        # The kernel releases it when its holder dies, so a crash leaves no lock behind.
        self._write_lock_path = self.directory / "write.lock"
        self._create_index()
        self._remove_leftovers()

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

        Args:
            pipeline: the fitted model.
            metrics: its scores; values that JSON can hold.
            training_days: first and last day of the training window.
            rows: rows of the training window.
            training_run: what else is to be kept of the training; values that JSON can hold.
            drift_event_key: the drift event it was trained for, or None.
            promote: True makes the version the champion in the same step.

        Returns:
            The new version; or, where the drift event has one already, that version, unchanged.

        Raises:
            TypeError: metrics or training_run hold values that JSON cannot.
            ValueError: the training days are the wrong way round.
        """
        first_day, last_day = training_days
        if last_day < first_day:
            raise ValueError(
                f"training_days = ({first_day}, {last_day}): the last is before the first; "
                "fix: swap them"
            )
        metrics_text = json.dumps(metrics, sort_keys=True)
        training_run_text = json.dumps(training_run, sort_keys=True)
        with self._write_lock():
            if drift_event_key is not None:
                existing = self.version_for_drift_event(drift_event_key)
                if existing is not None:
                    return existing
            self._remove_unreferenced_artifacts()
            file_name, digest = self._write_artifact(pipeline)
            with self._transaction() as connection:
                (number,) = connection.execute(
                    "SELECT coalesce(max(number), 0) + 1 FROM versions WHERE model_name = ?",
                    (self.model_name,),
                ).fetchone()
                connection.execute(
                    "INSERT INTO versions (model_name, number, created, metrics, first_day,"
                    " last_day, rows, drift_event_key, training_run, artifact, sha256)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        self.model_name,
                        number,
                        datetime.now(UTC).isoformat(),
                        metrics_text,
                        first_day.isoformat(),
                        last_day.isoformat(),
                        rows,
                        drift_event_key,
                        training_run_text,
                        file_name,
                        digest,
                    ),
                )
                if promote:
                    self._insert_promotion(connection, number)
        return self.version(number)

    def version(self, number: int) -> ModelVersion:
        """Return a version by its number.

        Args:
            number: 1 or more.

        Returns:
            The version.

        Raises:
            UnknownVersionError: there is none with this number.
        """
        found = self._select("AND number = ?", (number,))
        if not found:
            existing = [version.number for version in self.versions()]
            raise UnknownVersionError(
                f"model {self.model_name!r} has no version {number}; "
                f"{self.directory} has {existing or 'none'}"
            )
        return found[0]

    def versions(self) -> list[ModelVersion]:
        """Return all versions, by number."""
        return self._select("", ())

    def version_for_drift_event(self, drift_event_key: str) -> ModelVersion | None:
        """Return the version that was trained for a drift event, or None."""
        found = self._select("AND drift_event_key = ?", (drift_event_key,))
        return found[0] if found else None

    def champion(self) -> ModelVersion | None:
        """Return the version in use, or None before the first promotion."""
        return next((version for version in self.versions() if version.is_champion), None)

    def promote(self, version: ModelVersion | int) -> ModelVersion:
        """Make a version the champion, in one step; nothing changes where it is already.

        Args:
            version: the version or its number.

        Returns:
            The version as it is now.

        Raises:
            UnknownVersionError: there is no such version.
        """
        number = self.version(self._number(version)).number
        with self._transaction() as connection:
            if self._champion_number(connection) != number:
                self._insert_promotion(connection, number)
        return self.version(number)

    def load(self, version: ModelVersion | int) -> Pipeline:
        """Load a version's model.

        Unpickling runs code, so only a file inside of the registry whose content is the
        registered one is read; its name comes from the index, never from the caller.

        Args:
            version: the version or its number.

        Returns:
            The fitted model.

        Raises:
            UnknownVersionError: there is no such version.
            ArtifactChangedError: the file is missing or its SHA-256 is not the registered one.
        """
        number = self.version(self._number(version)).number
        with self._connection() as connection:
            file_name, digest = connection.execute(
                "SELECT artifact, sha256 FROM versions WHERE model_name = ? AND number = ?",
                (self.model_name, number),
            ).fetchone()
        path = self._artifacts / Path(file_name).name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise ArtifactChangedError(
                f"models/{self.model_name}@{number}: {path} is missing; "
                "fix: restore the file or promote another version"
            ) from None
        # The hashed bytes are the ones unpickled: a file swapped in between changes nothing.
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise ArtifactChangedError(
                f"models/{self.model_name}@{number}: {path} has SHA-256 {found}, registered was "
                f"{digest}; fix: restore the file or promote another version"
            )
        return joblib.load(io.BytesIO(content))

    @contextmanager
    def training_lock(self) -> Generator[None]:
        """Hold the right to train: while one process trains, another waits here.

        Yields:
            Nothing; the lock ends with the block or with the process.
        """
        with FileLock(self.directory / "training.lock"):
            yield

    @staticmethod
    def _number(version: ModelVersion | int) -> int:
        return version.number if isinstance(version, ModelVersion) else version

    def _select(self, condition: str, parameters: tuple[Any, ...]) -> list[ModelVersion]:
        with self._connection() as connection:
            # One read transaction: the champion and the versions belong together.
            connection.execute("BEGIN")
            champion = self._champion_number(connection)
            rows = connection.execute(
                "SELECT number, created, metrics, first_day, last_day, rows, drift_event_key,"
                f" training_run, artifact FROM versions WHERE model_name = ? {condition}"
                " ORDER BY number",
                (self.model_name, *parameters),
            ).fetchall()
        return [
            ModelVersion(
                model_name=self.model_name,
                number=number,
                created=datetime.fromisoformat(created),
                metrics=json.loads(metrics),
                training_days=(date.fromisoformat(first_day), date.fromisoformat(last_day)),
                rows=row_count,
                drift_event_key=drift_event_key,
                training_run=json.loads(training_run),
                is_champion=number == champion,
                artifact=self._artifacts / artifact,
            )
            for (
                number,
                created,
                metrics,
                first_day,
                last_day,
                row_count,
                drift_event_key,
                training_run,
                artifact,
            ) in rows
        ]

    def _champion_number(self, connection: sqlite3.Connection) -> int | None:
        row = connection.execute(
            "SELECT number FROM promotions WHERE model_name = ? ORDER BY sequence DESC LIMIT 1",
            (self.model_name,),
        ).fetchone()
        return None if row is None else row[0]

    def _insert_promotion(self, connection: sqlite3.Connection, number: int) -> None:
        connection.execute(
            "INSERT INTO promotions (model_name, number, promoted) VALUES (?, ?, ?)",
            (self.model_name, number, datetime.now(UTC).isoformat()),
        )

    def _write_artifact(self, pipeline: Pipeline) -> tuple[str, str]:
        path = self._artifacts / f"{uuid.uuid4().hex}{_ARTIFACT_SUFFIX}"
        with path.open("wb") as file:
            joblib.dump(pipeline, file, compress=1)
        sync_to_disk(path)
        sync_to_disk(self._artifacts)
        return path.name, hashlib.sha256(path.read_bytes()).hexdigest()

    def _remove_leftovers(self) -> None:
        try:
            with self._write_lock(timeout=0):
                self._remove_unreferenced_artifacts()
        except Timeout:
            # Someone is registering; their next registration cleans up.
            return

    def _remove_unreferenced_artifacts(self) -> None:
        with self._connection() as connection:
            referenced = {row[0] for row in connection.execute("SELECT artifact FROM versions")}
        for path in self._artifacts.glob(f"*{_ARTIFACT_SUFFIX}"):
            if path.name not in referenced:
                path.unlink(missing_ok=True)

    def _write_lock(self, timeout: float = -1) -> FileLock:
        return FileLock(self._write_lock_path, timeout=timeout)

    def _create_index(self) -> None:
        try:
            # Not the write lock: opening must not wait for a model to be written.
            with FileLock(self.directory / "index.lock"):
                create_index(self._index)
        except sqlite3.DatabaseError as error:
            raise ModelRegistryError(
                f"{self._index} is not a usable index of models: {error}; "
                "fix: restore it from a copy, or name another directory"
            ) from error

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        with connect(self._index) as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._connection() as connection, transaction(connection):
            yield connection
