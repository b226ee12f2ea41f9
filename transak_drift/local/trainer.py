"""Trains the transaction classifier on description and booking type, and judges it.

The training pipeline on Vertex AI uses it too, so that both platforms train the same model on the
same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from transak_drift.config.sections import PREDICTION_COLUMN, CsvFormat
from transak_drift.drift.canonical_text import canonical_text
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
)
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.tabular_files import DatasetReader, TabularFiles, open_reader
from transak_drift.training.promotion import ROUNDING, Evaluation, decide_promotion

FEATURE_COLUMNS = ("description", "type")

_MAX_ROWS = 60_000
_MIN_ROWS = 50
_HELD_OUT_FRACTION = 0.2
_EXCHANGES = 999

# Rows of canonical texts, "" where missing; those of a training have their label as last column.
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Challenger:
    """A newly trained classifier beside the champion, scored on the same held-out recent rows."""

    pipeline: Pipeline
    evaluation: Evaluation
    champion: Evaluation | None
    promoted: bool
    reason: str
    rows_in_window: int


def train_classifier(
    training_files: Sequence[Path],
    label_column: str,
    seed: int,
    champion: Pipeline | None = None,
) -> Challenger:
    """Train a classifier and compare it with the champion on held-out recent rows.

    The model is a multinomial logistic regression over TF-IDF weights of the description's words
    and word pairs and the one-hot booking type. The same files (Parquet, one for each day, oldest
    first) and seed give the same sample, split and model. A label that the champion does not know
    counts as wrong. A DatasetError names the file, the column and a fix.
    """
    if seed < 0:
        raise DatasetError(f"seed = {seed} is negative", "write 0 or more")
    training, held_out, rows_in_window = read_training_rows(training_files, label_column, seed)
    pipeline = _new_pipeline().fit(training[:, :-1], training[:, -1])
    evaluation, answers = _evaluate(pipeline, held_out)
    present, by_chance = None, 0.0
    if champion is not None:
        present, answers_before = _evaluate(champion, held_out)
        if evaluation.macro_f1 < present.macro_f1:
            by_chance = worse_by_chance(held_out[:, -1], answers, answers_before, seed)
    promoted, reason = decide_promotion(
        evaluation.macro_f1, present.macro_f1 if present else None, by_chance
    )
    return Challenger(
        pipeline=pipeline,
        evaluation=evaluation,
        champion=present,
        promoted=promoted,
        reason=reason,
        rows_in_window=rows_in_window,
    )


def predict(pipeline: Pipeline, file: Path, column: str = PREDICTION_COLUMN) -> pa.Table:
    """Return the predicted category as a column, and its `probability`, for each row of a file.

    The rows have description and type.
    """
    schema = pa.schema([pa.field(column, pa.string()), pa.field("probability", pa.float64())])
    with open_reader(CsvFormat()) as reader:
        [rows] = reader.open_files([file], FEATURE_COLUMNS)
        features = _read_texts(reader, rows, FEATURE_COLUMNS)
    if not len(features):
        return schema.empty_table()
    probabilities = pipeline.predict_proba(features)
    best = probabilities.argmax(axis=1)
    return pa.table([pipeline.classes_[best].tolist(), probabilities.max(axis=1)], schema=schema)


def predicted_statistics(
    pipeline: Pipeline, files: Sequence[Path], column: str
) -> DatasetStatistics:
    """Count the labels that a model predicts for the rows of Parquet files, as a column's."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(predict(pipeline, file).column(PREDICTION_COLUMN).to_pylist())
    return DatasetStatistics(counts.total(), {column: CategoricalStatistics(dict(counts))})


def read_training_rows(
    training_files: Sequence[Path], label_column: str, seed: int, max_rows: int = _MAX_ROWS
) -> tuple[Texts, Texts, int]:
    """Read the rows to train on, the recent rows held out, and the number of rows in the window.

    Of a window with more than `max_rows` rows a seeded sample is read: the newest file gives as
    many rows as it has, at most half of the sample, and the older ones the rest in proportion to
    their size. A fifth of the rows is held out, in proportion to the labels; half of the newest
    file's rows, or fewer if that is enough, and the rest from the older files, so that the
    evaluation leans to recent data. One row of each label always stays in training.
    """
    columns = [*FEATURE_COLUMNS, label_column]
    random = np.random.default_rng(seed)
    days: list[Texts] = []
    rows_read = 0
    with open_reader(CsvFormat()) as reader:
        files = [reader.open_files([path], columns)[0] for path in training_files]
        row_counts = [reader.count_rows([day]) for day in files]
        for day, rows, quota in zip(
            files, row_counts, _row_quotas(row_counts, max_rows), strict=True
        ):
            chosen = np.sort(random.choice(rows, quota, replace=False))
            texts = _read_texts(reader, day, columns, chosen)
            rows_read += len(texts)
            days.append(texts[texts[:, -1] != ""])
    rows = np.concatenate(days)
    _require_learnable(rows[:, -1], label_column, rows_read - len(rows))
    held_out = _held_out(rows[:, -1], len(days[-1]), random)
    return rows[~held_out], rows[held_out], sum(row_counts)


def _read_texts(
    reader: DatasetReader,
    files: TabularFiles,
    names: Sequence[str],
    chosen: npt.NDArray[np.int64] | None = None,
) -> Texts:
    """Read columns of any type; shape (rows, columns)."""
    columns = [files.measured_column(name, FeatureKind.CATEGORICAL) for name in names]
    query = ", ".join(column.as_text(column.reference) for column in columns)
    table = reader.connection.sql(f"SELECT {query} FROM {files.relation()}").to_arrow_table()
    if chosen is not None:
        table = table.take(chosen)
    texts = np.empty((table.num_rows, len(columns)), dtype=object)
    for index, column in enumerate(table.columns):
        canonical = {text: canonical_text(text) for text in column.unique().to_pylist() if text}
        texts[:, index] = [canonical.get(text, "") for text in column.to_pylist()]
    return texts


def _row_quotas(row_counts: Sequence[int], max_rows: int) -> list[int]:
    if sum(row_counts) <= max_rows:
        return list(row_counts)
    *older, newest = row_counts
    from_newest = min(newest, max(max_rows // 2, max_rows - sum(older)))
    remaining = max_rows - from_newest
    return [*(remaining * rows // sum(older) for rows in older), from_newest]


def _require_learnable(labels: Texts, label_column: str, unlabelled_rows: int) -> None:
    if len(labels) < _MIN_ROWS:
        raise DatasetError(
            f"the training window has {len(labels)} rows with a label in {label_column!r} "
            f"({unlabelled_rows} without); at least {_MIN_ROWS} are needed",
            "add days or labels",
        )
    distinct = set(labels)
    if len(distinct) < 2:
        raise DatasetError(
            f"column {label_column!r} has only the label {distinct.pop()!r}; a classifier needs "
            "two",
            "name the column with the labels (label_column)",
        )


def _held_out(
    labels: Texts, newest_rows: int, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    newest, older = np.split(np.arange(len(labels))[::-1], [newest_rows])
    wanted = _HELD_OUT_FRACTION * len(labels)
    from_newest = min(newest_rows / 2, wanted)
    from_older = min(len(older) / 2, wanted - from_newest)
    held_out = np.zeros(len(labels), dtype=bool)
    for part, count in ((newest, round(from_newest)), (older, round(from_older))):
        # One row out of each so many, ordered by label: rare labels are held out in proportion too.
        shuffled = random.permutation(part)
        by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
        places = (np.arange(count) + random.random()) * len(part) / max(count, 1)
        held_out[by_label[places.astype(int)]] = True
    for label in sorted({*labels} - {*labels[~held_out]}):
        held_out[np.flatnonzero(labels == label)[0]] = False
    if not held_out.any():
        # Every label is rarer than one row in the share: the newest row of the commonest is held.
        values, counts = np.unique(labels, return_counts=True)
        held_out[np.flatnonzero(labels == values[np.argmax(counts)])[-1]] = True
    return held_out


def evaluate_probabilities(
    labels: Texts, probabilities: npt.NDArray[np.float64], known_labels: Sequence[str]
) -> Evaluation:
    """Score predicted probabilities, of shape (rows, known labels), against the true labels.

    Only labels that occur among the true ones count in the macro average, so that two models
    with different label sets are compared over the same labels.
    """
    predicted = np.asarray(known_labels, dtype=object)[np.argmax(probabilities, axis=1)]
    occurring = sorted({*labels})
    macro_f1 = f1_score(labels, predicted, labels=occurring, average="macro", zero_division=0.0)
    # A label that the model does not know has the probability 0.
    every_label = sorted({*known_labels, *occurring})
    of_every_label = np.zeros((len(labels), len(every_label)))
    of_every_label[:, np.searchsorted(every_label, known_labels)] = probabilities
    return Evaluation(
        rows=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(macro_f1),
        log_loss=float(log_loss(labels, of_every_label, labels=every_label)),
    )


def worse_by_chance(labels: Texts, answers: Texts, others: Texts, seed: int) -> float:
    """Return how probable a macro F1 so much below the others' is for equally good answers.

    The answers to a row are exchanged at random, which of equally good ones changes nothing
    (approximate randomization: Noreen, Computer Intensive Methods for Testing Hypotheses, 1989).
    """
    names, codes = np.unique(np.concatenate([labels, answers, others]), return_inverse=True)
    true, first, second = codes.reshape(3, -1)
    occurring = np.bincount(true, minlength=len(names))
    differs = first != second

    def macro_f1(predicted: npt.NDArray[np.intp]) -> float:
        answered = np.bincount(predicted, minlength=len(names))
        hits = np.bincount(predicted[predicted == true], minlength=len(names))
        is_label = occurring > 0
        return float(np.mean(2 * hits[is_label] / (answered + occurring)[is_label]))

    observed = macro_f1(first) - macro_f1(second)
    random = np.random.default_rng(seed)
    as_low = 0
    for _ in range(_EXCHANGES):
        kept = ~differs | (random.random(len(true)) < 0.5)
        exchanged = np.where(kept, first, second), np.where(kept, second, first)
        as_low += macro_f1(exchanged[0]) - macro_f1(exchanged[1]) <= observed + ROUNDING
    return (as_low + 1) / (_EXCHANGES + 1)


def _evaluate(pipeline: Pipeline, held_out: Texts) -> tuple[Evaluation, Texts]:
    """Score a classifier, and return its answers."""
    probabilities = pipeline.predict_proba(held_out[:, :-1])
    answers = pipeline.classes_[probabilities.argmax(axis=1)]
    labels = list(pipeline.classes_)
    return evaluate_probabilities(held_out[:, -1], probabilities, labels), answers


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
