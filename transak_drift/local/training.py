"""Windows of transactions, trainings on them, predictions and baselines of the local platform."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.config.sections import PREDICTION_COLUMN
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
)
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.dataset_statistics import (
    Baseline,
    baseline_statistics,
    scan_statistics,
    stored_statistics,
)
from transak_drift.local.file_transactions import (
    FileTransactions,
    monitored_kinds,
    transactions_at,
)
from transak_drift.local.label_counts import require_labels
from transak_drift.local.model_registry import ModelRegistry, ModelVersion
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.tabular_files import is_current
from transak_drift.local.transaction_generator import GeneratedTransactions
from transak_drift.platform import (
    Dataset,
    PlatformError,
    PredictedDataset,
    TrainingRequest,
    TrainingResult,
)
from transak_drift.training.training_window import select_training_windows

_FIRST_BASELINE_WINDOWS = {"day": 28, "week": 8, "month": 6}
_MAX_HISTORY_WINDOWS = 60
_logger = logging.getLogger(__name__)
_INITIAL_BASELINE = "initial"
# Stands where later trainings have their drift event, so that two processes train it once.
_FIRST_TRAINING = "first training"


@dataclass(frozen=True)
class LocalTraining:
    """Keeps the windows of a model's source, trains its classifier, predicts, has baselines."""

    state: StateDirectory
    source: FileTransactions | GeneratedTransactions
    seed: int

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.state.registry)

    def land(self, window: Window) -> Dataset:
        """Write a window's transactions, also where they are there already."""
        path = self.state.transactions(window)
        return Dataset(str(path), self.source.write_window(window, path))

    def _file(self, window: Window) -> Path:
        """Return a window's file, written where it is missing or another form of CSV is set."""
        if not self.is_current(window):
            self.land(window)
        return self.state.transactions(window)

    def is_current(self, window: Window) -> bool:
        """Whether a window's file is there, as the configuration reads it.

        Where labels are waited for, what was written before they came is not.
        """
        path = self.state.transactions(window)
        if not path.exists() or not is_current(path, self.state.config.csv):
            return False
        return self.state.config.labels is None or not self.source.has_changed(window, path)

    def champion_classes(self) -> tuple[str, ...] | None:
        """Return what the champion can answer; None without a classifier."""
        champion = self.registry.classifier()
        if champion is None:
            return None
        # Of a version of another transak_drift only the model tells them.
        return champion.classes or tuple(map(str, self.registry.load(champion).classes_))

    def train_first_version(self) -> ModelVersion | None:
        """Train version 1 where there is none; its data are the first baseline.

        None where the transactions have no label column: they can be monitored, but no classifier
        can learn from them.
        """
        files = self._first_baseline()
        if not self._have_labels(files.values()):
            return None
        self.train_version(files, _FIRST_TRAINING, "")
        return self.registry.champion()

    def train(self, request: TrainingRequest, progress: Callable[[str], None]) -> TrainingResult:
        """Train a challenger once for a drift event, and promote it unless it is worse.

        Asked again for the same drift event, nothing is trained: the version that was trained for
        it is adopted. Where no data have a label, their windows become the baseline all the same.
        """
        version = self.registry.version_for_drift_event(request.drift_event_key)
        adopted = version is not None
        if version is None:
            windows = self._fresh_windows(self._calendar.ending_at(request.window_end))
            first, last = windows[0].first_day, windows[-1].last_day
            progress(f"training on {len(windows)} {windows[0].length}(s), {first} to {last}")
            files = {window: self._file(window) for window in windows}
            labels = require_labels(files[windows[-1]], self.state.config, self.champion_classes())
            if labels is not None:
                progress(f"{windows[-1]}: {labels.summary()}")
            version, adopted = self.train_version(
                files, request.drift_event_key, request.run_id, progress
            )
        outcome = "was trained for this drift event before" if adopted else "registered"
        progress(f"version {version.number} {outcome}")
        champion, before = self.registry.champion(), version.champion_before
        if champion is not None:
            self.baseline()
        promoted, reason = version.promoted, version.reason
        if promoted and champion is not None and champion.number != version.number:
            promoted, reason = False, f"{reason}; version {champion.number} has replaced it since"
        return TrainingResult(
            version=str(version.number),
            champion_before=None if before is None else str(before),
            champion_after=str(champion.number) if champion else "none",
            promoted=promoted,
            adopted=adopted,
            reason=reason,
            metrics=version.metrics.metrics() if version.metrics else {},
            champion_metrics=version.champion_metrics.metrics() if version.champion_metrics else {},
            comparison=version.comparison,
            training_rows=version.rows,
            training_days=version.training_days,
            trained_until=self._calendar.end_of(version.training_days[1]),
        )

    def train_version(
        self,
        training_files: Mapping[Window, Path],
        drift_event_key: str | None,
        run_id: str,
        progress: Callable[[str], None] = _logger.info,
    ) -> tuple[ModelVersion, bool]:
        """Train a version on files by window, and promote it if not worse, once a drift event.

        Two calls at once, from whatever process, come one after the other. Returned are the version
        and whether it had been trained before.
        """
        registry, config = self.registry, self.state.config
        with registry.training_lock():
            existing = registry.version_for_drift_event(drift_event_key)
            if existing is not None:
                return existing, True
            windows = sorted(training_files)
            files = [training_files[window] for window in windows]
            champion, classifier = registry.champion(), registry.classifier()
            values: dict[str, Any] = {
                "drift_event_key": drift_event_key,
                "run_id": run_id,
                "files": [str(file) for file in files],
                "training_days": (windows[0].first_day, windows[-1].last_day),
                "seed": self.seed,
                "champion_before": champion.number if champion else None,
            }
            if classifier is None and not self._have_labels(files):
                version = registry.register(
                    None,
                    **values,
                    rows=sum(pq.read_metadata(file).num_rows for file in files),
                    metrics=None,
                    champion_metrics=None,
                    promoted=True,
                    reason=f"{self.no_labels()}; what drifted is the new baseline",
                )
                return version, False
            # Here and below: scikit-learn takes seconds to import, and a sensor does not wait.
            from transak_drift.local.trainer import train_classifier

            history = self._history(windows[0]) if classifier else {}
            challenger = train_classifier(
                files,
                config.label_column,
                self.seed,
                registry.load(classifier) if classifier else None,
                history_files=list(history.values()),
                policy=config.promotion,
                settings=config.training,
                dates=self._dates,
                progress=progress,
            )
            version = registry.register(
                challenger.pipeline,
                **values,
                rows=challenger.rows_in_window,
                metrics=challenger.evaluation,
                champion_metrics=challenger.champion,
                comparison=challenger.comparison,
                promoted=challenger.promoted,
                reason=challenger.reason,
                tuning=challenger.tuning.summary(),
                classes=tuple(map(str, challenger.pipeline.classes_)),
            )
            return version, False

    def _have_labels(self, files: Iterable[Path]) -> bool:
        label_column = self.state.config.label_column
        return all(label_column in pq.read_schema(file).names for file in files)

    def no_labels(self) -> str:
        """Say why there is no classifier."""
        return (
            f"no classifier was trained, as the transactions have no column "
            f"{self.state.config.label_column!r} to learn from (label_column names it)"
        )

    def predict(self, window: Window) -> PredictedDataset:
        """Predict a window's categories; without a champion the transactions pass as they are."""
        source, target = self.state.transactions(window), self.state.predictions(window)
        if not source.exists():
            raise PlatformError(
                f"no transactions of {window}; materialize transactions of that partition first"
            )
        return self.predict_file(source, target)

    def predict_file(self, source: Path, target: Path) -> PredictedDataset:
        """Write a file's rows with their predictions to another, or in its place."""
        table = pq.read_table(source)
        champion = self.registry.classifier()
        counts: Counter[str] = Counter()
        # A window without bookings has nothing to predict, nor always the columns to predict from.
        if champion is not None and table.num_rows:
            from transak_drift.local.trainer import predict

            column = self._prediction_column
            predicted = predict(self.registry.load(champion), source, column, self._dates)
            counts.update(predicted.column(column).to_pylist())
            # A feature of one's own stays; DuckDB takes names that differ by case for the same.
            features = {name.casefold() for name in self.state.config.drift_thresholds}
            added = [name for name in predicted.column_names if name.casefold() not in features]
            replaced = {name.casefold() for name in added}
            kept = [name for name in table.column_names if name.casefold() not in replaced]
            table = table.select(kept)
            for name in added:
                table = table.append_column(name, predicted.column(name))
        with replace_file(target) as temporary:
            pq.write_table(table, temporary)
        return PredictedDataset(
            Dataset(str(target), table.num_rows),
            str(champion.number) if champion else None,
            dict(counts.most_common()),
        )

    def find_restorable(self, number: str) -> ModelVersion:
        """Return a version whose model and baseline are whole."""
        versions = self.registry.versions()
        found = next((item for item in versions if str(item.number) == number), None)
        if found is None:
            there = ", ".join(str(item.number) for item in versions) or "none yet"
            raise PlatformError(
                f"{self.state.config.model_name} has no version {number!r}; its versions: {there}"
            )
        if found.has_classifier:
            self.registry.read_model(found)
        try:
            self.baseline(found)
        except (PlatformError, OSError) as error:
            raise PlatformError(
                f"the data that version {number} was trained on, its baseline, cannot be read: "
                f"{error}"
            ) from error
        return found

    def restore(self, version: ModelVersion, champion: str) -> None:
        """Make a version the champion in place of the one that was found as such."""
        with self.registry.training_lock(waits=False):
            present = self.registry.champion()
            if present is not None and present.number == version.number:
                return
            if present is None or str(present.number) != champion:
                now = "none" if present is None else f"version {present.number}"
                raise PlatformError(
                    f"the champion was version {champion} and is {now} meanwhile; look at "
                    "`transak-drift status`, and run this again if it is still right"
                )
            self.registry.restore(version)

    def baseline(self, of: ModelVersion | None = None) -> Baseline:
        """Return what windows are compared with at present, or the baseline of a version.

        Its statistics are computed from the files that the champion learned from, and kept until
        another feature, kind or form of CSV is configured, and so are those of its predictions for
        them, or without a classifier of those that the files have. Without a champion they are
        those of the first baseline's files.
        """
        champion = of or self.registry.champion()
        name = str(champion.number) if champion else _INITIAL_BASELINE
        statistics = baseline_statistics(
            self.state.baseline(name),
            monitored_kinds(self.state.config),
            self.state.config.csv,
            lambda: self._baseline_files(champion),
        )
        if self.state.config.prediction_drift is None:
            return Baseline(name, statistics)
        csv_format, column = self.state.config.csv.model_dump(), self._prediction_column
        predictions = stored_statistics(
            self.state.baseline_predictions(name),
            json.dumps({"predictions": column, "csv": csv_format}),
            lambda: self._predictions(self._baseline_files(champion), champion),
        )
        is_predicted = predictions.features[column].present > 0
        return Baseline(name, statistics, predictions if is_predicted else None)

    @property
    def _dates(self) -> FileTransactions:
        return transactions_at("", self.state.config)

    @property
    def _prediction_column(self) -> str:
        prediction = self.state.config.prediction_drift
        return PREDICTION_COLUMN if prediction is None else prediction.column

    def _predictions(
        self, files: Sequence[Path], champion: ModelVersion | None
    ) -> DatasetStatistics:
        """Count what a version predicts for files; without a classifier what stands there."""
        column = self._prediction_column
        if champion is not None and champion.has_classifier:
            from transak_drift.local.trainer import predicted_statistics

            return predicted_statistics(self.registry.load(champion), files, column, self._dates)
        if all(column in pq.read_schema(file).names for file in files):
            kinds = {column: FeatureKind.CATEGORICAL}
            return scan_statistics(files, kinds, csv_format=self.state.config.csv)
        rows = sum(pq.read_metadata(file).num_rows for file in files)
        return DatasetStatistics(rows, {column: CategoricalStatistics({}, missing=rows)})

    def _baseline_files(self, champion: ModelVersion | None) -> list[Path]:
        if champion is None:
            return list(self._first_baseline().values())
        files = [Path(file) for file in champion.files]
        if all(file.exists() and is_current(file, self.state.config.csv) for file in files):
            return files
        # They are found again in the source: its own baseline, or the windows.
        first = self._first_baseline()
        if files == [first[window] for window in sorted(first)]:
            return files
        return [self._file(self.state.window_of(file)) for file in files]

    @property
    def _calendar(self) -> WindowCalendar:
        return self.state.config.windows

    def _fresh_windows(self, event_window: Window) -> list[Window]:
        max_days = self.state.config.maximum_training_days
        candidates = self._windows(event_window, max_days)
        while candidates and not pq.read_metadata(self._file(candidates[-1])).num_rows:
            candidates.pop()
        if not candidates:
            raise PlatformError(f"there are no bookings up to {event_window} to train on")
        baseline, config = self.baseline(), self.state.config
        champion = self.registry.champion()
        kinds = {name: found.kind for name, found in baseline.statistics.features.items()}
        by_predictions = "prediction" in config.retrain_policy.objectives and baseline.predictions

        def statistics_of(window: Window) -> DatasetStatistics:
            file = self._file(window)
            found = scan_statistics([file], kinds, csv_format=config.csv)
            if not by_predictions or not found.rows:
                return found
            return DatasetStatistics(
                found.rows, found.features | self._predictions([file], champion).features
            )

        return select_training_windows(
            candidates[-1],
            candidates,
            statistics_of,
            config.thresholds if by_predictions else config.drift_thresholds,
            max_days,
            config.categorical_metric,
        )

    def _history(self, before: Window) -> dict[Window, Path]:
        """Return the kept windows before a training's first, at most 60: the newest, ascending.

        They are those of the first baseline, and what was monitored since.
        """
        kept = {item: file for item, file in self._first_baseline().items() if item < before}
        for window in self._calendar.between(min(kept, default=before), before):
            path = self.state.transactions(window)
            if window < before and path.exists():
                kept[window] = self._file(window)
        return {window: kept[window] for window in sorted(kept)[-_MAX_HISTORY_WINDOWS:]}

    def _windows(self, until: Window, at_most: int) -> list[Window]:
        """Return the last windows up to one that may have transactions, ascending."""
        available = self.source.windows()
        if available is not None:
            return [window for window in available if window <= until][-at_most:]
        windows = [until]
        while len(windows) < at_most:
            windows.append(self._calendar.before(windows[-1]))
        return windows[::-1]

    def _first_baseline(self) -> dict[Window, Path]:
        """Choose the data that the first model learns from, Parquet files by window.

        They are the source's own baseline where it has one (as the window before the first
        monitored one); otherwise the last 28 days, 8 weeks or 6 months before the first monitored
        window, or, where the source begins with it, the first half of its windows, at most so many.
        """
        calendar = self._calendar
        before = calendar.before(calendar.first_from(self.state.config.start_date))
        if self.source.write_baseline(self.state.transactions(before)) is not None:
            return {before: self.state.transactions(before)}
        at_most = _FIRST_BASELINE_WINDOWS[calendar.length]
        windows = self._windows(before, at_most)
        if not windows:
            available = self.source.windows() or []
            windows = available[: min(at_most, max(1, len(available) // 2))]
        if not windows:
            raise PlatformError("the source has no transactions of any day")
        return {window: self._file(window) for window in windows}
