"""What the training pipeline's first step does: fresh windows, a challenger, its comparison.

The step uses the local platform's classifier, so that the pipeline and the local platform train
the same model on the same rows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
from sklearn.pipeline import Pipeline

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.drift.feature_statistics import DatasetStatistics
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.file_transactions import monitored_kinds, own_transactions
from transak_drift.local.label_counts import require_labels
from transak_drift.local.trainer import Challenger, predicted_statistics, train_classifier
from transak_drift.training.promotion import COMPARISON_METADATA
from transak_drift.training.training_window import select_training_windows

# The name that Vertex AI's own scikit-learn serving images look for.
MODEL_FILE = "model.joblib"
_MAX_HISTORY_WINDOWS = 60
_MAX_METADATA_BYTES = 150_000


def train_challenger(
    config: MonitoringConfig,
    transactions: str,
    first_day: date,
    last_day: date,
    champion_directory: str,
    seed: int,
) -> tuple[Challenger, list[Window]]:
    """Train on the present regime's windows, and compare with the present model.

    The windows lie where `FileTransactions` takes them, or in a bucket, and that of `last_day`,
    whose data drifted, is always used. `champion_directory` has the present version's files; it is
    empty where there is none. Returned are the challenger, and the windows it learned from,
    ascending. Where the configuration has `labels` and the window that drifted too few of them,
    nothing is trained: a DatasetError has the numbers.
    """
    mounted = config.model_copy(update={"transactions": mounted_path(transactions)})
    source = own_transactions(mounted)
    drifted = config.windows.of_day(last_day)
    candidates = [item for item in source.windows() if first_day <= item.first_day <= last_day]
    if drifted not in candidates:
        raise ValueError(
            f"last_day = {last_day}: {transactions} has no transactions of {drifted}; "
            "fix: write them first, or name another day"
        )
    champion = _load_champion(champion_directory) if champion_directory else None
    kinds = monitored_kinds(config)
    # By column, where drift of predictions may have led here.
    of_predictions = {
        name: threshold
        for name, threshold in config.thresholds.items()
        if config.objective(name) == "prediction" in config.retrain_policy.objectives
    }
    with TemporaryDirectory() as directory:

        def file_of(window: Window) -> Path:
            path = Path(directory) / f"{window.key}.parquet"
            if not path.exists():
                source.write_window(window, path)
            return path

        def statistics_of(window: Window) -> DatasetStatistics:
            file = file_of(window)
            found = scan_statistics([file], kinds, csv_format=config.csv)
            # The event's window is scanned first, and decides how a feature is measured in others.
            kinds.update({name: item.kind for name, item in found.features.items()})
            if not of_predictions or champion is None or not found.rows:
                return found
            predicted = predicted_statistics(champion, [file], *of_predictions, source)
            return DatasetStatistics(found.rows, found.features | predicted.features)

        classes = None if champion is None else tuple(map(str, champion.classes_))
        labels = require_labels(file_of(drifted), config, classes)
        if labels is not None:
            _log(f"{drifted}: {labels.summary()}")
        max_days = (drifted.last_day - first_day).days + 1
        windows = select_training_windows(
            drifted,
            candidates,
            statistics_of,
            config.drift_thresholds | (of_predictions if champion is not None else {}),
            max_days,
            config.categorical_metric,
        )
        files = [file_of(window) for window in windows]
        before = [window for window in source.windows() if window < windows[0]]
        history = [] if champion is None else before[-_MAX_HISTORY_WINDOWS:]
        challenger = train_classifier(
            files,
            config.label_column,
            seed,
            champion,
            history_files=[file_of(window) for window in history],
            policy=config.promotion,
            settings=config.training,
            dates=source,
            progress=_log,
        )
        return challenger, windows


def save_model(challenger: Challenger, directory: str) -> None:
    """Write the model's file into a directory, which is made where missing."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    joblib.dump(challenger.pipeline, Path(directory) / MODEL_FILE)


def metadata_of(challenger: Challenger, windows: Sequence[Window]) -> dict[str, Any]:
    """Return what the pipeline shows of a training: metrics by name, and the whole comparison.

    A comparison that Vertex ML Metadata might refuse for its size is left out (`Artifact.metadata`:
    at most 200 KB).
    """
    metadata: dict[str, Any] = {
        "training rows": float(challenger.rows_in_window),
        "training days": float((windows[-1].last_day - windows[0].first_day).days + 1),
    }
    for found in challenger.comparison.sets:
        prefix = "" if found.name == "recent" else f"{found.name} "
        for model, suffix in ((found.challenger, ""), (found.champion, " of the champion")):
            for name, value in model.scores.metrics().items() if model is not None else ():
                if not suffix or name == "macro F1":
                    metadata[f"{prefix}{name}{suffix}"] = value
    text = challenger.comparison.model_dump_json()
    if len(text.encode()) <= _MAX_METADATA_BYTES:
        metadata[COMPARISON_METADATA] = text
    return metadata


def mounted_path(location: str) -> str:
    """Return where a location lies ("Vertex AI: Use Cloud Storage as a mounted file system")."""
    return re.sub(r"^gs://", "/gcs/", location)


def _log(text: str) -> None:
    """Write to the container's output, which Vertex AI shows as the step's log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _load_champion(directory: str) -> Pipeline:
    path = Path(mounted_path(directory)) / MODEL_FILE
    if not path.is_file():
        raise ValueError(
            f"the present version's directory {directory!r} holds no {MODEL_FILE}, so that the "
            "challenger cannot be compared with it; fix: make a version of this pipeline the "
            "default version first"
        )
    return joblib.load(path)
