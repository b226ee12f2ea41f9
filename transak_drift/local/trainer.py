"""Trains the transaction classifier on description and booking type, and judges it.

The training pipeline on Vertex AI uses it too, so that both platforms train the same model on the
same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from transak_drift.local.training_data import (
    LabelledRows,
    TrainingDataError,
    feature_texts,
    read_training_data,
)
from transak_drift.training.promotion import PromotionDecision, decide_promotion

FEATURE_COLUMNS = ("description", "type")

# scikit-learn's log_loss clips by the same: a label the model does not know costs 36 nats.
MIN_PROBABILITY = float(np.finfo(np.float64).eps)

_PREDICTION_SCHEMA = pa.schema(
    [pa.field("predicted_category", pa.string()), pa.field("probability", pa.float64())]
)


class Evaluation(BaseModel, frozen=True):
    """Scores of a classifier on held-out rows, the log loss in nats.

    `macro_f1` is the unweighted mean over the labels that occur in those rows.
    """

    rows: int
    accuracy: float
    macro_f1: float
    log_loss: float

    def metrics(self) -> Mapping[str, float]:
        """Return what people see of it, by the metric's name."""
        return {
            "accuracy": self.accuracy,
            "macro F1": self.macro_f1,
            "log loss": self.log_loss,
            "held-out rows": float(self.rows),
        }


@dataclass(frozen=True, slots=True)
class Challenger:
    """A newly trained classifier beside the champion, scored on the same held-out recent rows."""

    pipeline: Pipeline
    evaluation: Evaluation
    champion: Evaluation | None
    decision: PromotionDecision
    rows_in_window: int


def train_classifier(
    training_files: Sequence[Path],
    label_column: str,
    seed: int,
    champion: Pipeline | None = None,
) -> Challenger:
    """Train a classifier and compare it with the champion on held-out recent rows.

    The model is a multinomial logistic regression over TF-IDF weights of the description's words
    and word pairs and the one-hot booking type. The same files (one for each day, oldest first) and
    seed give the same sample, split and model. A label that the champion does not know counts as
    wrong. A TrainingDataError names the file, the column and a fix.
    """
    if seed < 0:
        raise TrainingDataError(f"seed = {seed} is negative; fix: write 0 or more")
    data = read_training_data(training_files, FEATURE_COLUMNS, label_column, seed=seed)
    pipeline = _new_pipeline().fit(data.training.features, data.training.labels)
    evaluation = _evaluate(pipeline, data.held_out)
    present = None if champion is None else _evaluate(champion, data.held_out)
    return Challenger(
        pipeline=pipeline,
        evaluation=evaluation,
        champion=present,
        decision=decide_promotion(evaluation.macro_f1, present.macro_f1 if present else None),
        rows_in_window=data.rows_in_window,
    )


def predict(pipeline: Pipeline, table: pa.Table) -> pa.Table:
    """Return `predicted_category` and its `probability` for each row with description and type."""
    features = feature_texts(table, FEATURE_COLUMNS)
    if not len(features):
        return _PREDICTION_SCHEMA.empty_table()
    probabilities = pipeline.predict_proba(features)
    best = probabilities.argmax(axis=1)
    return pa.table(
        [pipeline.classes_[best].tolist(), probabilities.max(axis=1)], schema=_PREDICTION_SCHEMA
    )


def evaluate_probabilities(
    labels: npt.NDArray[np.object_],
    probabilities: npt.NDArray[np.float64],
    known_labels: Sequence[str],
) -> Evaluation:
    """Score predicted probabilities, of shape (rows, known labels), against the true labels.

    Only labels that occur among the true ones count in the macro average, so that two models
    with different label sets are compared over the same labels.
    """
    predicted = np.asarray(known_labels, dtype=object)[np.argmax(probabilities, axis=1)]
    macro_f1 = f1_score(
        labels, predicted, labels=sorted(set(labels)), average="macro", zero_division=0.0
    )
    column = {label: index for index, label in enumerate(known_labels)}
    columns = np.array([column.get(label, -1) for label in labels])
    true_probability = np.where(columns < 0, 0.0, probabilities[np.arange(len(labels)), columns])
    return Evaluation(
        rows=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(macro_f1),
        log_loss=float(-np.mean(np.log(np.clip(true_probability, MIN_PROBABILITY, 1.0)))),
    )


def _evaluate(pipeline: Pipeline, held_out: LabelledRows) -> Evaluation:
    probabilities = pipeline.predict_proba(held_out.features)
    return evaluate_probabilities(held_out.labels, probabilities, list(pipeline.classes_))


def _new_pipeline() -> Pipeline:
    # Words begin with a letter: card and invoice numbers say nothing about the category.
    words = TfidfVectorizer(
        token_pattern=r"\b[^\W\d_]\w+", ngram_range=(1, 2), sublinear_tf=True, min_df=2
    )
    features = ColumnTransformer(
        [
            ("description", words, FEATURE_COLUMNS.index("description")),
            ("type", OneHotEncoder(handle_unknown="ignore"), [FEATURE_COLUMNS.index("type")]),
        ]
    )
    classifier = LogisticRegression(C=10.0, tol=1e-3, max_iter=300)
    return Pipeline([("features", features), ("classifier", classifier)])
