"""Trainings of the local platform: fresh data, a challenger, a promotion, a new baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import last_day
from transak_drift.drift.drift_statistics import DriftStatisticsError, feature_distance
from transak_drift.drift.feature_statistics import DatasetStatistics, FeatureKind
from transak_drift.local.baseline_statistics import baseline_statistics
from transak_drift.local.classifier_evaluation import Evaluation
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.landing import Landing
from transak_drift.local.model_registry import (
    ModelRegistry,
    ModelRegistryError,
    ModelVersion,
)
from transak_drift.local.own_transactions import monitored_kinds
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.tabular_files import is_current
from transak_drift.local.trainer import TrainingDataError
from transak_drift.local.training_run import TrainingOutcome, train_version
from transak_drift.platform import PlatformError, TrainingRequest, TrainingResult
from transak_drift.training.training_window import select_training_days

_INITIAL_BASELINE = "initial"
# Stands where later trainings have their drift event, so that two processes train it once.
_FIRST_TRAINING = "first training"


class LocalTraining:
    """Trains the classifier of one monitored model, and keeps its baselines.

    Args:
        state: the monitored model's directory.
        landing: makes days of transactions available.
        seed: of sampling and splitting.
    """

    def __init__(self, state: StateDirectory, landing: Landing, seed: int) -> None:
        self._state = state
        self._config = state.config
        self._landing = landing
        self._seed = seed
        self.registry = ModelRegistry(state.registry, state.config.model_name)

    def train_first_version(self) -> ModelVersion | None:
        """Train version 1 where there is none; its data are the first baseline.

        Returns:
            The champion, or None where the transactions have no label column: they can be
            monitored, but no classifier can learn from them.

        Raises:
            PlatformError: there are no transactions, or they cannot be trained on.
        """
        files = self._landing.first_baseline()
        if not self._landing.has_labels(files.values()):
            return None
        request = TrainingRequest(_FIRST_TRAINING, _end_of(max(files)), run_id="")
        self._train(files, request)
        return self.registry.champion()

    def train(self, request: TrainingRequest, progress: Callable[[str], None]) -> TrainingResult:
        """Train a challenger once for a drift event, and promote it if it is not worse.

        Args:
            request: the drift event and the end of its window.
            progress: is told what is going on.

        Returns:
            How it ended. Asked again for the same drift event, nothing is trained: the version
            that was trained for it is adopted.

        Raises:
            PlatformError: the transactions cannot be trained on.
        """
        files: Mapping[date, Path] = {}
        if not self._is_trained(request.drift_event_key):
            days = self._fresh_days(request.window_end)
            progress(f"training on {len(days)} day(s), {days[0]} to {days[-1]}")
            files = {day: self._landing.land(day) for day in days}
        outcome = self._train(files, request)
        version = outcome.version
        progress(
            f"version {version.number} "
            + ("was trained for this drift event before" if outcome.adopted else "registered")
        )
        champion = self.registry.champion()
        if champion is not None:
            self.baseline(champion)
        first, last = version.training_days
        return TrainingResult(
            version=str(version.number),
            champion_before=_text(outcome.champion_number),
            champion_after=_text(champion.number if champion else None) or "none",
            promoted=outcome.decision.promote,
            adopted=outcome.adopted,
            reason=outcome.decision.reason,
            metrics=_metrics(outcome.challenger),
            champion_metrics=_metrics(outcome.champion) if outcome.champion else {},
            training_rows=version.rows,
            trained_until=_end_of(last),
            training_days=(first, last),
        )

    def baseline(self, champion: ModelVersion | None) -> tuple[str, DatasetStatistics]:
        """Return the statistics that days are compared with.

        They are computed from the files that the version learned from, and kept until another
        feature, kind or form of CSV is configured.

        Args:
            champion: the version that predicts, or None where no model could be trained.

        Returns:
            A name for the baseline, unique for the model, and its statistics.
        """
        name = str(champion.number) if champion else _INITIAL_BASELINE
        try:
            return name, baseline_statistics(
                self._state.baseline(name),
                monitored_kinds(self._config),
                self._config.csv,
                lambda: self._baseline_files(champion),
            )
        except DatasetError as error:
            raise PlatformError(f"the baseline cannot be measured: {error}") from error

    def _baseline_files(self, champion: ModelVersion | None) -> list[Path]:
        if champion is None:
            return list(self._landing.first_baseline().values())
        files = [Path(file) for file in champion.training_run["files"]]
        if all(file.exists() and is_current(file, self._config.csv) for file in files):
            return files
        # They are found again in the source: its own baseline, or the days.
        first = self._landing.first_baseline()
        if files == [first[day] for day in sorted(first)]:
            return files
        return [self._landing.land(self._state.day_of(file)) for file in files]

    def _is_trained(self, drift_event_key: str | None) -> bool:
        return (
            drift_event_key is not None
            and self.registry.version_for_drift_event(drift_event_key) is not None
        )

    def _train(self, files: Mapping[date, Path], request: TrainingRequest) -> TrainingOutcome:
        try:
            return train_version(
                self.registry,
                files,
                label_column=self._config.label_column,
                drift_event_key=request.drift_event_key,
                seed=self._seed,
                training_run={
                    "dagster_run_id": request.run_id,
                    "files": [str(files[day]) for day in sorted(files)],
                },
            )
        except (TrainingDataError, ModelRegistryError) as error:
            raise PlatformError(str(error)) from error

    def _fresh_days(self, window_end: datetime) -> list[date]:
        candidates = self._landing.days_until(
            last_day(window_end), self._config.maximum_training_days
        )
        while candidates and not self._landing.has_rows(candidates[-1]):
            candidates.pop()
        if not candidates:
            raise PlatformError(f"there are no bookings up to {window_end:%Y-%m-%d} to train on")
        _, baseline = self.baseline(self.registry.champion())
        kinds = {name: found.kind for name, found in baseline.features.items()}
        statistics: dict[date, DatasetStatistics] = {}

        def statistics_of(day: date) -> DatasetStatistics:
            if day not in statistics:
                statistics[day] = self._scan(self._landing.land(day), kinds)
            return statistics[day]

        def differs(day: date, event_day: date) -> bool:
            # A day without bookings, such as a Sunday, ends no regime.
            return self._landing.has_rows(day) and _drifted(
                self._config, statistics_of(event_day), statistics_of(day)
            )

        chosen = select_training_days(
            candidates[-1], candidates, differs, self._config.maximum_training_days
        )
        return [day for day in chosen if self._landing.has_rows(day)]

    def _scan(self, file: Path, kinds: Mapping[str, FeatureKind]) -> DatasetStatistics:
        try:
            return scan_statistics([file], kinds, csv_format=self._config.csv)
        except DatasetError as error:
            raise PlatformError(str(error)) from error


def _drifted(config: MonitoringConfig, first: DatasetStatistics, second: DatasetStatistics) -> bool:
    for feature, threshold in config.drift_thresholds.items():
        try:
            if feature_distance(feature, first, second).distance > threshold:
                return True
        except DriftStatisticsError:
            # Without a distance the days cannot be told to be alike.
            return True
    return False


def _metrics(evaluation: Evaluation) -> Mapping[str, float]:
    return {
        "accuracy": evaluation.accuracy,
        "macro F1": evaluation.macro_f1,
        "log loss": evaluation.log_loss,
        "held-out rows": float(evaluation.rows),
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
