"""What the training pipeline's first step does: fresh days, a challenger, its comparison.

The step uses the local platform's classifier, so that the pipeline and the local platform train
the same model on the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
from sklearn.pipeline import Pipeline

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.feature_statistics import DatasetStatistics
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.file_transactions import monitored_kinds, own_transactions
from transak_drift.local.trainer import Challenger, train_classifier
from transak_drift.training.training_window import select_training_days

# The name that Vertex AI's own scikit-learn serving images look for.
MODEL_FILE = "model.joblib"


def train_challenger(
    config: MonitoringConfig,
    transactions: str,
    first_day: date,
    last_day: date,
    champion_directory: str,
    seed: int,
) -> tuple[Challenger, list[date]]:
    """Train on the present regime's days, and compare with the present model.

    The days lie where `FileTransactions` takes them, or in a bucket, and `last_day`, whose data
    drifted, is always used. `champion_directory` has the present version's files; it is empty where
    there is none. Returned are the challenger, and the days it learned from, ascending.
    """
    mounted = config.model_copy(update={"transactions": mounted_path(transactions)})
    source = own_transactions(mounted)
    candidates = [day for day in source.days() if first_day <= day <= last_day]
    if last_day not in candidates:
        raise ValueError(
            f"last_day = {last_day}: {transactions} has no transactions of that day; "
            "fix: write them first, or name another day"
        )
    champion = _load_champion(champion_directory) if champion_directory else None
    kinds = monitored_kinds(config)
    with TemporaryDirectory() as directory:

        def file_of(day: date) -> Path:
            path = Path(directory) / f"{day}.parquet"
            if not path.exists():
                source.write_day(day, path)
            return path

        def statistics_of(day: date) -> DatasetStatistics:
            found = scan_statistics([file_of(day)], kinds, csv_format=config.csv)
            # The event's day is scanned first, and decides how a feature is measured on all others.
            kinds.update({name: item.kind for name, item in found.features.items()})
            return found

        max_days = (last_day - first_day).days + 1
        days = select_training_days(
            last_day, candidates, statistics_of, config.drift_thresholds, max_days
        )
        files = [file_of(day) for day in days]
        return train_classifier(files, config.label_column, seed, champion), days


def save_model(challenger: Challenger, directory: str) -> None:
    """Write the model's file into a directory, which is made where missing."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    joblib.dump(challenger.pipeline, Path(directory) / MODEL_FILE)


def scores_of(challenger: Challenger, days: Sequence[date]) -> dict[str, float]:
    """Return what the pipeline shows of a training, by the metric's name."""
    scores = {
        **challenger.evaluation.metrics(),
        "training rows": float(challenger.rows_in_window),
        "training days": float(len(days)),
    }
    if challenger.champion is not None:
        scores["macro F1 of the champion"] = challenger.champion.macro_f1
    return scores


def mounted_path(location: str) -> str:
    """Return where a location lies ("Vertex AI: Use Cloud Storage as a mounted file system")."""
    return re.sub(r"^gs://", "/gcs/", location)


def _load_champion(directory: str) -> Pipeline:
    path = Path(mounted_path(directory)) / MODEL_FILE
    if not path.is_file():
        raise ValueError(
            f"the present version's directory {directory!r} holds no {MODEL_FILE}, so that the "
            "challenger cannot be compared with it; fix: make a version of this pipeline the "
            "default version first"
        )
    return joblib.load(path)
