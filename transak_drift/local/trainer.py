"""Trains the local platform's transaction classifier on description and booking type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from transak_drift.local.classifier_evaluation import Evaluation, evaluate_probabilities
from transak_drift.local.training_data import (
    LabelledRows,
    TrainingDataError,
    feature_texts,
    read_training_data,
)

__all__ = [
    "FEATURE_COLUMNS",
    "TrainedClassifier",
    "TrainingDataError",
    "evaluate_classifier",
    "predict",
    "train_classifier",
]

FEATURE_COLUMNS = ("description", "type")
MAXIMUM_ROWS = 60_000
HELD_OUT_SHARE = 0.2
MINIMUM_ROWS = 50

_PREDICTION_SCHEMA = pa.schema(
    [pa.field("predicted_category", pa.string()), pa.field("probability", pa.float64())]
)


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """A trained classifier with what is needed to judge it.

    Args:
        pipeline: the fitted scikit-learn pipeline; takes texts of shape (rows, 2).
        evaluation: its scores on `held_out`.
        held_out: the rows kept from training, for comparing it with the champion.
        training_rows: rows it learned from.
        rows_in_window: rows of the training window, before sampling.
        unlabelled_rows: rows left out because they have no label.
    """

    pipeline: Pipeline
    evaluation: Evaluation
    held_out: LabelledRows
    training_rows: int
    rows_in_window: int
    unlabelled_rows: int


def train_classifier(
    training_files: Sequence[Path],
    label_column: str,
    seed: int,
    *,
    maximum_rows: int = MAXIMUM_ROWS,
    held_out_share: float = HELD_OUT_SHARE,
    minimum_rows: int = MINIMUM_ROWS,
) -> TrainedClassifier:
    """Train a classifier and evaluate it on held-out recent rows.

    The model is a multinomial logistic regression (limited-memory BFGS) over TF-IDF weights of
    the description's words and word pairs and the one-hot booking type (scikit-learn user guide,
    "Text feature extraction" and "Logistic regression"). The same files and seed give the same
    sample, split and model.

    Args:
        training_files: one Parquet file for each day, oldest first, with the columns
            `description`, `type` and `label_column`.
        label_column: column to predict.
        seed: of the sample and the split; 0 or more.
        maximum_rows: a larger window is sampled down to about this many rows.
        held_out_share: share of the rows to hold out, in (0, 1).
        minimum_rows: labelled rows that are needed at least.

    Returns:
        The trained classifier.

    Raises:
        TrainingDataError: the files cannot be trained on; names the file, the column and a fix.
        ValueError: a setting is out of range.
    """
    if seed < 0:
        raise ValueError(f"seed = {seed!r}: is negative; fix: write 0 or more")
    if not 0.0 < held_out_share < 1.0:
        raise ValueError(f"held_out_share = {held_out_share!r}: is not in (0, 1); fix: write 0.2")
    if maximum_rows < minimum_rows or minimum_rows < 4:
        raise ValueError(
            f"maximum_rows = {maximum_rows!r}, minimum_rows = {minimum_rows!r}: minimum_rows must "
            "be 4 or more, and maximum_rows not less than it; fix: raise them"
        )
    data = read_training_data(
        training_files,
        FEATURE_COLUMNS,
        label_column,
        seed=seed,
        maximum_rows=maximum_rows,
        held_out_share=held_out_share,
        minimum_rows=minimum_rows,
    )
    pipeline = _new_pipeline()
    pipeline.fit(data.training.features, data.training.labels)
    return TrainedClassifier(
        pipeline=pipeline,
        evaluation=evaluate_classifier(pipeline, data.held_out),
        held_out=data.held_out,
        training_rows=len(data.training),
        rows_in_window=data.rows_in_window,
        unlabelled_rows=data.unlabelled_rows,
    )


def evaluate_classifier(pipeline: Pipeline, held_out: LabelledRows) -> Evaluation:
    """Score a classifier, be it the challenger or the champion, on held-out rows.

    Args:
        pipeline: a fitted classifier of `train_classifier`.
        held_out: rows that it has not learned from.

    Returns:
        The scores; a label that the classifier does not know counts as wrong.

    Raises:
        ValueError: there are no rows.
    """
    probabilities = pipeline.predict_proba(held_out.features)
    return evaluate_probabilities(held_out.labels, probabilities, list(pipeline.classes_))


def predict(pipeline: Pipeline, table: pa.Table) -> pa.Table:
    """Predict the categories of transactions.

    Args:
        pipeline: a fitted classifier of `train_classifier`.
        table: transactions with the columns `description` and `type`.

    Returns:
        A table with a row for each of the input, in its order: `predicted_category` (text) and
        `probability` (that the model gives to it, in [0, 1]).

    Raises:
        TrainingDataError: a feature column is missing or cannot be read as text.
    """
    features = feature_texts(table, FEATURE_COLUMNS)
    if not len(features):
        return _PREDICTION_SCHEMA.empty_table()
    probabilities = pipeline.predict_proba(features)
    best = probabilities.argmax(axis=1)
    return pa.table(
        [pipeline.classes_[best].tolist(), probabilities.max(axis=1)], schema=_PREDICTION_SCHEMA
    )


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
