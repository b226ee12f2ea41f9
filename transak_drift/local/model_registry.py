"""Versions of the local platform's model: of each its model, and a document that names it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError, model_validator

from transak_drift.local.atomic_file import replace_file, write_text
from transak_drift.platform import PlatformError
from transak_drift.training.promotion import Comparison, Evaluation

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class ModelVersion(BaseModel, frozen=True):
    """A version of the model: what it learned from, and how it compared with the champion.

    The training days are the first and the last day of its files. Of data without labels it has no
    classifier, and is a baseline alone.
    """

    number: int
    created: datetime
    sha256: str | None
    drift_event_key: str | None
    run_id: str
    files: tuple[str, ...]
    training_days: tuple[date, date]
    rows: int
    seed: int
    metrics: Evaluation | None
    champion_before: int | None
    champion_metrics: Evaluation | None
    promoted: bool
    reason: str
    # None of a version that another version of transak_drift has trained, or without a classifier.
    comparison: Comparison | None = None
    tuning: str = ""
    classes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> ModelVersion:
        if (self.sha256 is None) != (self.metrics is None):
            raise ValueError("a model is there without its metrics, or they without it")
        return self

    @property
    def has_classifier(self) -> bool:
        return self.sha256 is not None


class _Restored(BaseModel, frozen=True):
    """A version that a person made champion when `newest` was the newest version."""

    champion: int
    newest: int
    at: datetime


class ModelRegistry:
    """The versions of one model in a directory: `1.model`, and `1.json` once it is whole.

    Safe for several processes and against a crash at any moment: a version is there, promoted or
    not, when its document is. The champion is the last that was promoted, or the one that
    `champion.json` names, until a later version is promoted: each changes with one file, so that
    there is one champion at any moment.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        if (former := self.directory / "index.sqlite").exists():
            raise PlatformError(
                f"{former} is the model registry of an earlier version; fix: use the version of "
                f"transak_drift that wrote it, or move {self.directory} away and run the job "
                "prepare_monitoring, which trains a first model"
            )

    @contextmanager
    def training_lock(self, *, waits: bool = True) -> Generator[None]:
        """Hold the right to train, to register and to restore, which one process has at a time.

        While another has it, this waits, or else raises a `PlatformError`.
        """
        lock = FileLock(self.directory / "training.lock")
        try:
            lock.acquire(timeout=-1 if waits else 0)
        except Timeout as error:
            raise PlatformError(
                "a training is in flight, whose version may become the champion; wait for its end "
                "or cancel its run, and run this again"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def register(self, pipeline: Pipeline | None, **values: Any) -> ModelVersion:
        """Make a trained model a version, given the other fields of `ModelVersion`.

        The caller holds `training_lock`, so that no number is given twice.
        """
        file = io.BytesIO()
        if pipeline is not None:
            joblib.dump(pipeline, file, compress=1)
        version = ModelVersion(
            number=max((item.number for item in self.versions()), default=0) + 1,
            created=datetime.now(UTC),
            sha256=hashlib.sha256(file.getbuffer()).hexdigest() if pipeline is not None else None,
            **values,
        )
        if version.has_classifier:
            with replace_file(self._model(version)) as temporary:
                temporary.write_bytes(file.getbuffer())
        write_text(self.directory / f"{version.number}.json", version.model_dump_json(indent=2))
        return version

    def versions(self) -> list[ModelVersion]:
        """Return all versions, by number."""
        found = map(_read_version, self.directory.glob("[0-9]*.json"))
        return sorted(found, key=lambda version: version.number)

    def version_for_drift_event(self, drift_event_key: str | None) -> ModelVersion | None:
        """Return the version that was trained for a drift event, or None; None names no event."""
        of_event = (item for item in self.versions() if item.drift_event_key == drift_event_key)
        return None if drift_event_key is None else next(of_event, None)

    def champion(self) -> ModelVersion | None:
        """Return the version in use, or None before the first promotion."""
        # Before the versions: one that is promoted meanwhile is champion after it.
        restored = self._restored()
        versions = self.versions()
        since = 0 if restored is None else restored.newest
        promoted = [item for item in versions if item.promoted and item.number > since]
        if promoted or restored is None:
            return promoted[-1] if promoted else None
        for version in versions:
            if version.number == restored.champion:
                return version
        raise PlatformError(
            f"{self._champion} names version {restored.champion}, whose document is missing; fix: "
            f"restore {restored.champion}.json from a copy"
        )

    def restore(self, version: ModelVersion) -> None:
        """Make a version the champion, until a later one is promoted.

        The caller holds `training_lock`, so that no version is registered meanwhile.
        """
        newest = max(item.number for item in self.versions())
        restored = _Restored(champion=version.number, newest=newest, at=datetime.now(UTC))
        write_text(self._champion, restored.model_dump_json(indent=2))

    def _restored(self) -> _Restored | None:
        try:
            return _Restored.model_validate_json(self._champion.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise PlatformError(
                f"{self._champion} does not name a version: {error.errors()[0]['msg']}; fix: "
                "restore it from a copy, or remove it: the last promoted version then predicts"
            ) from error

    @property
    def _champion(self) -> Path:
        return self.directory / "champion.json"

    def classifier(self) -> ModelVersion | None:
        """Return the version in use if it can predict."""
        champion = self.champion()
        return champion if champion is not None and champion.has_classifier else None

    def load(self, version: ModelVersion) -> Pipeline:
        """Load a version's model; unpickling runs code, so only what was registered is read."""
        return joblib.load(io.BytesIO(self.read_model(version)))

    def read_model(self, version: ModelVersion) -> bytes:
        """Read a version's model as it was registered; a `PlatformError` says what is wrong."""
        try:
            model = self._model(version).read_bytes()
        except FileNotFoundError as error:
            raise PlatformError(
                f"{self._model(version)} is missing; fix: restore the file from a copy"
            ) from error
        found = hashlib.sha256(model).hexdigest()
        if found != version.sha256:
            raise PlatformError(
                f"{self._model(version)} has SHA-256 {found}, registered was {version.sha256}; "
                "fix: restore the file from a copy"
            )
        return model

    def _model(self, version: ModelVersion) -> Path:
        return self.directory / f"{version.number}.model"


def _read_version(path: Path) -> ModelVersion:
    try:
        return ModelVersion.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise PlatformError(
            f"{path} is no version of a model: {error.errors()[0]['msg']}; fix: restore it from a "
            "copy"
        ) from error
