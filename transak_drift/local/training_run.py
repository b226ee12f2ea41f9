"""One training on the local platform: train, compare with the champion, register, promote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from transak_drift.local.classifier_evaluation import Evaluation
from transak_drift.local.model_registry import ModelRegistry, ModelVersion
from transak_drift.local.trainer import evaluate_classifier, train_classifier
from transak_drift.training.promotion import PromotionDecision, decide_promotion


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a training came to.

    Args:
        version: the version that was trained for the drift event.
        adopted: True where it had been trained before, and nothing was trained now.
        decision: whether it was promoted, and why.
        challenger: its scores on the held-out rows.
        champion: the scores of the champion at that time on the same rows, or None where there
            was none.
        champion_number: number of that champion, or None.
    """

    version: ModelVersion
    adopted: bool
    decision: PromotionDecision
    challenger: Evaluation
    champion: Evaluation | None
    champion_number: int | None


def train_version(
    registry: ModelRegistry,
    training_files: Mapping[date, Path],
    *,
    label_column: str,
    drift_event_key: str | None,
    seed: int = 0,
    tolerance: float = 0.0,
    training_run: Mapping[str, Any] | None = None,
) -> TrainingOutcome:
    """Train a version of the model, once for each drift event, and promote it if not worse.

    Registering and promoting are one step, so a crash leaves either nothing or the whole
    outcome; repeating the call for the same drift event adopts that outcome. Two calls at once,
    from whatever process, come one after the other.

    Args:
        registry: where the version goes.
        training_files: each training day's Parquet file; not looked at where the drift event has
            its version already.
        label_column: column to predict.
        drift_event_key: the drift event to train for, or None for a training without one.
        seed: of sample and split.
        tolerance: by how much macro F1 may be below the champion's.
        training_run: more to keep with the version, e.g. the Dagster run id; values that JSON
            can hold.

    Returns:
        The outcome.

    Raises:
        TrainingDataError: the files cannot be trained on.
        ArtifactChangedError: the champion's file was changed or removed.
    """
    with registry.training_lock():
        if drift_event_key is not None:
            existing = registry.version_for_drift_event(drift_event_key)
            if existing is not None:
                return _outcome(existing, adopted=True)
        days = sorted(training_files)
        trained = train_classifier([training_files[day] for day in days], label_column, seed)
        present = registry.champion()
        champion = (
            None
            if present is None
            else evaluate_classifier(registry.load(present), trained.held_out)
        )
        decision = decide_promotion(
            trained.evaluation.macro_f1,
            None if champion is None else champion.macro_f1,
            tolerance=tolerance,
        )
        version = registry.register(
            trained.pipeline,
            metrics=trained.evaluation.as_dict(),
            training_days=(days[0], days[-1]),
            rows=trained.rows_in_window,
            training_run={
                **(training_run or {}),
                "training_rows": trained.training_rows,
                "unlabelled_rows": trained.unlabelled_rows,
                "seed": seed,
                "promoted": decision.promote,
                "promotion_reason": decision.reason,
                "champion_number": None if present is None else present.number,
                "champion_metrics": None if champion is None else champion.as_dict(),
            },
            drift_event_key=drift_event_key,
            promote=decision.promote,
        )
        return _outcome(version, adopted=False)


def _outcome(version: ModelVersion, *, adopted: bool) -> TrainingOutcome:
    run = version.training_run
    champion = run["champion_metrics"]
    return TrainingOutcome(
        version=version,
        adopted=adopted,
        decision=PromotionDecision(run["promoted"], run["promotion_reason"]),
        challenger=Evaluation.from_dict(version.metrics),
        champion=None if champion is None else Evaluation.from_dict(champion),
        champion_number=run["champion_number"],
    )
