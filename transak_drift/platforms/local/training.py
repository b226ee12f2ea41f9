"""Trainings of the local platform: fresh data, a challenger, a promotion, a new baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from filelock import FileLock

from transak_drift.core.config import MonitoringConfig
from transak_drift.core.drift_statistics import EmptyFeatureError, feature_distance
from transak_drift.core.feature_statistics import DatasetStatistics, FeatureKind
from transak_drift.core.promotion import decide_promotion
from transak_drift.core.training_window import select_training_days
from transak_drift.platforms.interface import PlatformError, TrainingRequest, TrainingResult
from transak_drift.platforms.local.baseline_statistics import save_statistics
from transak_drift.platforms.local.classifier_evaluation import Evaluation
from transak_drift.platforms.local.dataset_statistics import scan_statistics
from transak_drift.platforms.local.landing import Landing
from transak_drift.platforms.local.model_registry import ModelRegistry, ModelVersion
from transak_drift.platforms.local.state_directory import StateDirectory
from transak_drift.platforms.local.trainer import (
    TrainedClassifier,
    TrainingDataError,
    evaluate_classifier,
    train_classifier,
)


class LocalTraining:
    """Trains the classifier of one monitored model.

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
        """Train version 1, and make its data the first baseline.

        Returns:
            The version, or None where the transactions have no label column: they can be
            monitored (as baseline `initial`), but no classifier can learn from them.
        """
        with self._lock():
            champion = self.registry.champion()
            if champion is not None:
                return champion
            days, files = self._landing.first_baseline()
            if not self._landing.has_labels(files):
                self._save_baseline(INITIAL_BASELINE, files)
                return None
            trained = self._train(files)
            version = self._register(trained, days, TrainingRequest(None, _end_of(days[1]), ""))
            self._save_baseline(str(version.number), files)
            return self.registry.promote(version)

    def train(self, request: TrainingRequest, progress: Callable[[str], None]) -> TrainingResult:
        """Train a challenger once for a drift event, and promote it if it is not worse.

        Args:
            request: the drift event and the end of its window.
            progress: is told what is going on.

        Returns:
            How it ended. Asked again for the same drift event, nothing is trained: the version
            that was trained is adopted, and a promotion that was interrupted is finished.

        Raises:
            PlatformError: the transactions cannot be trained on.
        """
        with self._lock():
            champion = self.registry.champion()
            known = (
                self.registry.version_for_drift_event(request.drift_event_key)
                if request.drift_event_key
                else None
            )
            if known is not None:
                progress(f"drift event {request.drift_event_key} has version {known.number}")
                return self._settle(known, champion, adopted=True)
            days = self._fresh_days(request.window_end, progress)
            files = [self._landing.land(day) for day in days]
            progress(f"training on {len(days)} day(s), {days[0]} to {days[-1]}")
            trained = self._train(files)
            version = self._register(trained, (days[0], days[-1]), request)
            self._save_baseline(str(version.number), files)
            return self._settle(version, champion, adopted=False)
