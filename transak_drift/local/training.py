"""Days of transactions, trainings on them, predictions and baselines of the local platform."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from transak_drift.drift.drift_event import last_day
from transak_drift.drift.feature_statistics import DatasetStatistics
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.dataset_statistics import Baseline, baseline_statistics, scan_statistics
from transak_drift.local.file_transactions import FileTransactions, monitored_kinds
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
from transak_drift.training.training_window import select_training_days

_FIRST_BASELINE_DAYS = 28
_INITIAL_BASELINE = "initial"
# Stands where later trainings have their drift event, so that two processes train it once.
_FIRST_TRAINING = "first training"


@dataclass(frozen=True)
class LocalTraining:
    """Keeps the days of one model's source, trains its classifier, predicts, and has baselines."""

    state: StateDirectory
    source: FileTransactions | GeneratedTransactions
    seed: int

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.state.registry)

    def land_day(self, day: date) -> Dataset:
        """Write a day's transactions, also where they are there already."""
        path = self.state.transactions(day)
        return Dataset(str(path), self.source.write_day(day, path))

    def _day(self, day: date) -> Path:
        """Return a day's file, written where it is missing or another form of CSV is set."""
        path = self.state.transactions(day)
        if not path.exists() or not is_current(path, self.state.config.csv):
            self.land_day(day)
        return path

    def train_first_version(self) -> ModelVersion | None:
        """Train version 1 where there is none; its data are the first baseline.

        None where the transactions have no label column: they can be monitored, but no classifier
        can learn from them.
        """
        files = self._first_baseline()
        label_column = self.state.config.label_column
        if not all(label_column in pq.read_schema(file).names for file in files.values()):
            return None
        self.train_version(files, _FIRST_TRAINING, "")
        return self.registry.champion()

    def train(self, request: TrainingRequest, progress: Callable[[str], None]) -> TrainingResult:
        """Train a challenger once for a drift event, and promote it if it is not worse.

        Asked again for the same drift event, nothing is trained: the version that was trained for
        it is adopted.
        """
        version = self.registry.version_for_drift_event(request.drift_event_key)
        adopted = version is not None
        if version is None:
            days = self._fresh_days(last_day(request.window_end))
            progress(f"training on {len(days)} day(s), {days[0]} to {days[-1]}")
            files = {day: self._day(day) for day in days}
            version, adopted = self.train_version(files, request.drift_event_key, request.run_id)
        outcome = "was trained for this drift event before" if adopted else "registered"
        progress(f"version {version.number} {outcome}")
        champion, before = self.registry.champion(), version.champion_before
        if champion is not None:
            self.baseline()
        return TrainingResult(
            version=str(version.number),
            champion_before=None if before is None else str(before),
            champion_after=str(champion.number) if champion else "none",
            promoted=version.promoted,
            adopted=adopted,
            reason=version.reason,
            metrics=version.metrics.metrics(),
            champion_metrics=version.champion_metrics.metrics() if version.champion_metrics else {},
            training_rows=version.rows,
            training_days=version.training_days,
        )

    def train_version(
        self, training_files: Mapping[date, Path], drift_event_key: str | None, run_id: str
    ) -> tuple[ModelVersion, bool]:
        """Train a version on files by day, and promote it if not worse, once for each drift event.

        Two calls at once, from whatever process, come one after the other. Returned are the version
        and whether it had been trained before.
        """
        registry, config = self.registry, self.state.config
        with registry.training_lock():
            existing = registry.version_for_drift_event(drift_event_key)
            if existing is not None:
                return existing, True
            # Here and below: scikit-learn takes seconds to import, and a sensor does not wait.
            from transak_drift.local.trainer import train_classifier

            days = sorted(training_files)
            files = [training_files[day] for day in days]
            champion = registry.champion()
            challenger = train_classifier(
                files, config.label_column, self.seed, registry.load(champion) if champion else None
            )
            version = registry.register(
                challenger.pipeline,
                drift_event_key=drift_event_key,
                run_id=run_id,
                files=[str(file) for file in files],
                training_days=(days[0], days[-1]),
                rows=challenger.rows_in_window,
                seed=self.seed,
                metrics=challenger.evaluation,
                champion_before=champion.number if champion else None,
                champion_metrics=challenger.champion,
                promoted=challenger.promoted,
                reason=challenger.reason,
            )
            return version, False

    def predict_day(self, day: date) -> PredictedDataset:
        """Predict a day's categories; without a champion the transactions pass as they are."""
        source, target = self.state.transactions(day), self.state.predictions(day)
        if not source.exists():
            raise PlatformError(
                f"no transactions of {day}; materialize transactions for that day first"
            )
        table = pq.read_table(source)
        champion = self.registry.champion()
        counts: Counter[str] = Counter()
        # A day without bookings has nothing to predict, nor always the columns to predict from.
        if champion is not None and table.num_rows:
            from transak_drift.local.trainer import predict

            predicted = predict(self.registry.load(champion), source)
            counts.update(predicted.column("predicted_category").to_pylist())
            kept = [name for name in table.column_names if name not in predicted.column_names]
            table = table.select(kept)
            for name, column in zip(predicted.column_names, predicted.columns, strict=True):
                table = table.append_column(name, column)
        with replace_file(target) as temporary:
            pq.write_table(table, temporary)
        return PredictedDataset(
            Dataset(str(target), table.num_rows),
            str(champion.number) if champion else None,
            dict(counts.most_common()),
        )

    def baseline(self) -> Baseline:
        """Return what days are compared with at present.

        Its statistics are computed from the files that the champion learned from, and kept until
        another feature, kind or form of CSV is configured. Without a champion (no model could be
        trained) they are those of the first baseline's files.
        """
        champion = self.registry.champion()
        name = str(champion.number) if champion else _INITIAL_BASELINE
        statistics = baseline_statistics(
            self.state.baseline(name),
            monitored_kinds(self.state.config),
            self.state.config.csv,
            lambda: self._baseline_files(champion),
        )
        return Baseline(name, statistics)

    def _baseline_files(self, champion: ModelVersion | None) -> list[Path]:
        if champion is None:
            return list(self._first_baseline().values())
        files = [Path(file) for file in champion.files]
        if all(file.exists() and is_current(file, self.state.config.csv) for file in files):
            return files
        # They are found again in the source: its own baseline, or the days.
        first = self._first_baseline()
        if files == [first[day] for day in sorted(first)]:
            return files
        return [self._day(self.state.day_of(file)) for file in files]

    def _fresh_days(self, event_day: date) -> list[date]:
        max_days = self.state.config.maximum_training_days
        candidates = self._days(event_day, max_days)
        while candidates and not pq.read_metadata(self._day(candidates[-1])).num_rows:
            candidates.pop()
        if not candidates:
            raise PlatformError(f"there are no bookings up to {event_day} to train on")
        features = self.baseline().statistics.features
        kinds = {name: found.kind for name, found in features.items()}

        def statistics_of(day: date) -> DatasetStatistics:
            return scan_statistics([self._day(day)], kinds, csv_format=self.state.config.csv)

        return select_training_days(
            candidates[-1], candidates, statistics_of, self.state.config.drift_thresholds, max_days
        )

    def _days(self, until: date, at_most: int) -> list[date]:
        """Return the last days up to one that may have transactions, ascending."""
        available = self.source.days()
        if available is None:
            return [until - timedelta(days=n) for n in reversed(range(at_most))]
        return [day for day in available if day <= until][-at_most:]

    def _first_baseline(self) -> dict[date, Path]:
        """Choose the data that the first model learns from, Parquet files by day.

        They are the source's own baseline where it has one (as the day before the first monitored
        one); otherwise up to 28 days before the first monitored day, or, where the source begins
        with it, the first half of its days, at most 28.
        """
        before = self.state.config.start_date - timedelta(days=1)
        if self.source.write_baseline(self.state.transactions(before)) is not None:
            return {before: self.state.transactions(before)}
        days = self._days(before, _FIRST_BASELINE_DAYS)
        if not days:
            available = self.source.days() or []
            days = available[: min(_FIRST_BASELINE_DAYS, max(1, len(available) // 2))]
        if not days:
            raise PlatformError("the source has no transactions of any day")
        return {day: self._day(day) for day in days}
