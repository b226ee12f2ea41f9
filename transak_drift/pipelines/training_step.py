"""What the training pipeline's first step does: fresh days, a challenger, its comparison.

The step uses the local platform's classifier, so that the pipeline and the local platform train
the same model on the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.feature_comparison import compare_features
from transak_drift.drift.feature_statistics import DatasetStatistics
from transak_drift.local.classifier_evaluation import Evaluation
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.file_transactions import FileTransactions
from transak_drift.local.own_transactions import monitored_kinds
from transak_drift.local.trainer import evaluate_classifier, train_classifier
from transak_drift.training.promotion import PromotionDecision, decide_promotion
from transak_drift.training.training_window import select_training_days

# The name that Vertex AI's own scikit-learn serving images look for.
MODEL_FILE = "model.joblib"
_BUCKETS = "gs://"
_MOUNTED_BUCKETS = "/gcs/"


class TrainingStepError(ValueError):
    """The step cannot train; the message names the parameter, its value and the fix."""


@dataclass(frozen=True, slots=True)
class Challenger:
    """A newly trained model.

    Args:
        pipeline: the fitted scikit-learn pipeline.
        days: the days it learned from, ascending.
        rows: rows of those days.
        evaluation: its scores on held-out recent rows.
        champion: the present model's scores on the same rows, or None where there is none.
        decision: whether it replaces the present model, and why.
    """

    pipeline: Pipeline
    days: tuple[date, ...]
    rows: int
    evaluation: Evaluation
    champion: Evaluation | None
    decision: PromotionDecision


def train_challenger(
    config: MonitoringConfig,
    transactions: str,
    first_day: date,
    last_day: date,
    champion_directory: str,
    seed: int,
) -> Challenger:
    """Train on the present regime's days, and compare with the present model.

    Args:
        config: the monitored model; its thresholds tell which days are of one regime.
        transactions: where the days lie, as `FileTransactions` takes it, or the same in a bucket.
        first_day: earliest day that may be used.
        last_day: the day whose data drifted, which is always used.
        champion_directory: directory of the present version's files, or an empty string where it
            has none.
        seed: of sampling and splitting; 0 or more.

    Returns:
        The challenger.

    Raises:
        TrainingStepError: a day is missing, or the present version's files are not there.
        TransactionsError: the transactions cannot be read.
        TrainingDataError: no classifier can learn from them.
    """
    source = FileTransactions(
        mounted_path(transactions),
        date_column=config.date_column,
        required_columns=tuple(config.drift_thresholds),
        csv_format=config.csv,
    )
    candidates = [day for day in source.days() if first_day <= day <= last_day]
    if last_day not in candidates:
        raise TrainingStepError(
            f"last_day = {last_day}: {transactions} has no transactions of that day; "
            "fix: write them first, or name another day"
        )
    with TemporaryDirectory() as directory:
        days = _Days(source, config, Path(directory))
        chosen = select_training_days(
            last_day, candidates, days.differ, (last_day - first_day).days + 1
        )
        chosen = [day for day in chosen if days.has_rows(day)]
        trained = train_classifier(
            [days.file(day) for day in chosen], config.label_column, seed=seed
        )
    champion = None
    if champion_directory:
        champion = evaluate_classifier(_load_champion(champion_directory), trained.held_out)
    return Challenger(
        pipeline=trained.pipeline,
        days=tuple(chosen),
        rows=trained.rows_in_window,
        evaluation=trained.evaluation,
        champion=champion,
        decision=decide_promotion(
            trained.evaluation.macro_f1, None if champion is None else champion.macro_f1
        ),
    )


def save_model(challenger: Challenger, directory: str) -> None:
    """Write the model's file into a directory, which is made where missing."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    joblib.dump(challenger.pipeline, Path(directory) / MODEL_FILE)


def scores_of(challenger: Challenger) -> Mapping[str, float]:
    """Return what the pipeline shows of a training, by the metric's name."""
    scores = {
        "accuracy": challenger.evaluation.accuracy,
        "macro F1": challenger.evaluation.macro_f1,
        "log loss": challenger.evaluation.log_loss,
        "held-out rows": float(challenger.evaluation.rows),
        "training rows": float(challenger.rows),
        "training days": float(len(challenger.days)),
    }
    if challenger.champion is not None:
        scores["macro F1 of the champion"] = challenger.champion.macro_f1
    return scores


def mounted_path(location: str) -> str:
    """Return where a `gs://` location lies in the step's file system.

    Source: "Vertex AI: Use Cloud Storage as a mounted file system": each bucket is at `/gcs/`.
    """
    if location.startswith(_BUCKETS):
        return _MOUNTED_BUCKETS + location.removeprefix(_BUCKETS)
    return location


def _load_champion(directory: str) -> Pipeline:
    path = Path(mounted_path(directory)) / MODEL_FILE
    if not path.is_file():
        raise TrainingStepError(
            f"the present version's directory {directory!r} holds no {MODEL_FILE}, so that the "
            "challenger cannot be compared with it; fix: make a version of this pipeline the "
            "default version first"
        )
    return joblib.load(path)


class _Days:
    """The days of a source, each written and scanned once, when it is needed."""

    def __init__(self, source: FileTransactions, config: MonitoringConfig, directory: Path) -> None:
        self._source = source
        self._config = config
        self._kinds = monitored_kinds(config)
        self._directory = directory
        self._statistics: dict[date, DatasetStatistics] = {}

    def file(self, day: date) -> Path:
        path = self._directory / f"{day}.parquet"
        if not path.exists():
            self._source.write_day(day, path)
        return path

    def has_rows(self, day: date) -> bool:
        return pq.read_metadata(self.file(day)).num_rows > 0

    def differ(self, day: date, event_day: date) -> bool:
        if not self.has_rows(day):
            # A day without bookings, such as a Sunday, ends no regime.
            return False
        # The event's day is scanned first, and decides how a feature is measured on all others.
        event, other = self._scanned(event_day), self._scanned(day)
        found = compare_features(event, other, self._config.drift_thresholds)
        return any(feature.drifted or feature.distance is None for feature in found)

    def _scanned(self, day: date) -> DatasetStatistics:
        if day not in self._statistics:
            found = scan_statistics([self.file(day)], self._kinds, csv_format=self._config.csv)
            self._kinds = {name: item.kind for name, item in found.features.items()}
            self._statistics[day] = found
        return self._statistics[day]
