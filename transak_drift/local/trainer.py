"""Reads rows to train on, trains the transaction classifier on them, and judges it.

The training pipeline on Vertex AI uses it too, so that both platforms train the same model on the
same rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.pipeline import Pipeline

from transak_drift.config.sections import PREDICTION_COLUMN, PromotionPolicy, TrainingConfig
from transak_drift.drift.feature_statistics import CategoricalStatistics, DatasetStatistics
from transak_drift.local.classifier import FEATURES, Tuning, fit_classifier, predict_probabilities
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.evaluation import (
    Texts,
    evaluate_challenger,
    is_held_out,
    read_texts,
    row_hashes,
)
from transak_drift.local.file_transactions import FileTransactions
from transak_drift.local.tabular_files import Column, DatasetReader, TabularFiles, open_reader
from transak_drift.training.promotion import Comparison, Evaluation

# Columns that every file has; an amount and a date are learned from where they are there.
FEATURE_COLUMNS = ("description", "type")
_AMOUNT_COLUMN = "amount"

_MIN_ROWS = 50
_MAX_HELD_OUT = 20_000
_HISTORY_FACTOR = 2
_DEFAULT_SETTINGS, _DEFAULT_DATES = TrainingConfig(), FileTransactions("")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Challenger:
    """A newly trained classifier, and how it compared with the champion on held-out rows."""

    pipeline: Pipeline
    comparison: Comparison
    rows_in_window: int
    tuning: Tuning

    @property
    def evaluation(self) -> Evaluation:
        """The scores on held-out recent rows."""
        return self.comparison.sets[0].challenger.scores

    @property
    def champion(self) -> Evaluation | None:
        """The champion's scores on held-out recent rows."""
        found = self.comparison.sets[0].champion
        return found.scores if found is not None else None

    @property
    def promoted(self) -> bool:
        return self.comparison.promoted

    @property
    def reason(self) -> str:
        return "; ".join(self.comparison.reasons)


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows with a label: to train on, and held out of each file, oldest first; and all rows."""

    training: Texts
    held_out: Sequence[Texts]
    rows: int
    without_label: int


def train_classifier(
    training_files: Sequence[Path],
    label_column: str,
    seed: int,
    champion: Pipeline | None = None,
    *,
    history_files: Sequence[Path] = (),
    policy: PromotionPolicy | None = None,
    settings: TrainingConfig = _DEFAULT_SETTINGS,
    dates: FileTransactions = _DEFAULT_DATES,
    progress: Callable[[str], None] = _logger.info,
) -> Challenger:
    """Train a classifier, and compare it with the champion on held-out rows.

    The model is that of `fit_classifier`; `dates` says how the date column is read. The same files
    (Parquet, one for each window, oldest first), seed and settings give the same sample and model.
    A label that the champion does not know counts as wrong. A DatasetError names the file, the
    column and a fix.

    The history is of windows before the drift. It is learned from as well, up to twice as many rows
    as those of the present: what was always there must not be forgotten for what is new. Recent are
    the held-out rows of the newest file, or, without a champion, of all; historical are those of
    the history, or where it has none, of the files before the newest.
    """
    if seed < 0:
        raise DatasetError(f"seed = {seed} is negative", "write 0 or more")
    max_rows = settings.maximum_rows
    present = read_labelled_rows(training_files, label_column, seed, max_rows, dates=dates)
    at_most = min(_HISTORY_FACTOR * len(present.training), max_rows)
    history = read_labelled_rows(
        history_files, label_column, seed, at_most, is_history=True, dates=dates
    )
    training = np.concatenate([history.training, present.training])
    _require_learnable(present, training, label_column)
    progress(
        f"{len(training):,} labelled rows to train on, {len(history.training):,} of them from "
        f"before the drift; {present.rows + history.rows:,} rows are there"
    )
    pipeline, tuning = fit_classifier(
        training[:, :-1], training[:, -1], seed, settings.time_budget_seconds, progress
    )
    recent, historical = np.concatenate(present.held_out), np.concatenate(history.held_out)
    if champion is not None and len(present.held_out[-1]):
        recent = present.held_out[-1]
        if not len(historical):
            historical = np.concatenate([historical, *present.held_out[:-1]])
    return Challenger(
        pipeline=pipeline,
        comparison=evaluate_challenger(
            pipeline, champion, recent, historical, policy or PromotionPolicy()
        ),
        rows_in_window=present.rows,
        tuning=tuning,
    )


def predict(
    pipeline: Pipeline,
    file: Path,
    column: str = PREDICTION_COLUMN,
    dates: FileTransactions = _DEFAULT_DATES,
) -> pa.Table:
    """Return the predicted category as a column, and its `probability`, for each row of a file.

    The rows have description and type; an amount and a date are used where they are there, and the
    model was trained with them.
    """
    schema = pa.schema([pa.field(column, pa.string()), pa.field("probability", pa.float64())])
    with open_reader(dates.csv_format) as reader:
        [rows] = reader.open_files([file], FEATURE_COLUMNS)
        features = _read_features(reader, rows, dates)
    if not len(features):
        return schema.empty_table()
    probabilities = predict_probabilities(pipeline, features)
    best = probabilities.argmax(axis=1)
    return pa.table([pipeline.classes_[best].tolist(), probabilities.max(axis=1)], schema=schema)


def predicted_statistics(
    pipeline: Pipeline,
    files: Sequence[Path],
    column: str,
    dates: FileTransactions = _DEFAULT_DATES,
) -> DatasetStatistics:
    """Count the labels that a model predicts for the rows of Parquet files, as a column's."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(predict(pipeline, file, dates=dates).column(PREDICTION_COLUMN).to_pylist())
    return DatasetStatistics(counts.total(), {column: CategoricalStatistics(dict(counts))})


def read_labelled_rows(
    paths: Sequence[Path],
    label_column: str,
    seed: int,
    max_rows: int = _DEFAULT_SETTINGS.maximum_rows,
    *,
    is_history: bool = False,
    dates: FileTransactions = _DEFAULT_DATES,
) -> LabelledRows:
    """Read the rows to train on, and those that are held out, of Parquet files, oldest first.

    Rows are those of `FEATURES`, with the label as last column.
    No held-out row is trained on, see `row_hashes`. Of files with more than `max_rows` other rows a
    seeded sample is read: the newest file gives as many as it has, at most half of the sample, and
    the older ones the rest in proportion to their size. Of the held-out rows those with the least
    hashes are read, of each file as many. Of a history no file is preferred, and one without the
    label column is left out.
    """
    random = np.random.default_rng(seed)
    training = [np.empty((0, len(FEATURES) + 1), dtype=object)]
    held_out = list(training)
    without_label = rows = 0
    with open_reader(dates.csv_format) as reader:
        opened = [reader.open_files([path], FEATURE_COLUMNS)[0] for path in paths]
        if is_history:
            opened = [file for file in opened if label_column in {c.name for c in file.columns}]
        hashes = [row_hashes(reader, file, label_column) for file in opened]
        masks = [is_held_out(found) for found in hashes]
        counts = [int(np.count_nonzero(~mask)) for mask in masks]
        for file, found, mask, quota in zip(
            opened, hashes, masks, _row_quotas(counts, max_rows, is_history), strict=True
        ):
            chosen = np.sort(random.choice(np.flatnonzero(~mask), quota, replace=False))
            least = np.argsort(found, kind="stable")[: np.count_nonzero(mask)]
            held = np.sort(least[: max(1, _MAX_HELD_OUT // len(opened))])
            taken = np.concatenate([chosen, held])
            labels = read_texts(reader, file, [label_column], taken)
            texts = np.hstack([_read_features(reader, file, dates, taken), labels])
            has_label = np.array([text.strip() != "" for text in texts[:, -1]], dtype=bool)
            is_training = np.arange(len(texts)) < len(chosen)
            training.append(texts[is_training & has_label])
            held_out.append(texts[~is_training & has_label])
            without_label += int(np.count_nonzero(~has_label))
            rows += len(found)
    return LabelledRows(np.concatenate(training), held_out, rows, without_label)


def _row_quotas(row_counts: Sequence[int], max_rows: int, is_history: bool) -> list[int]:
    if sum(row_counts) <= max_rows:
        return list(row_counts)
    if is_history:
        return [max_rows * rows // sum(row_counts) for rows in row_counts]
    *older, newest = row_counts
    from_newest = min(newest, max(max_rows // 2, max_rows - sum(older)))
    remaining = max_rows - from_newest
    return [*(remaining * rows // sum(older) for rows in older), from_newest]


def _require_learnable(found: LabelledRows, training: Texts, label_column: str) -> None:
    rows = len(found.training) + sum(map(len, found.held_out))
    if rows < _MIN_ROWS:
        raise DatasetError(
            f"the training window has {rows} rows with a label in {label_column!r} "
            f"({found.without_label} without); at least {_MIN_ROWS} are needed",
            "add days or labels",
        )
    # What drifted may be all of one class, where the history has others.
    distinct = set(training[:, -1])
    if len(distinct) < 2:
        only = f"only the label {distinct.pop()!r}" if distinct else "no label"
        raise DatasetError(
            f"column {label_column!r} has {only} in the rows to train on; a classifier needs two",
            "name the column with the labels (label_column)",
        )


def _read_features(
    reader: DatasetReader,
    files: TabularFiles,
    dates: FileTransactions,
    chosen: npt.NDArray[np.int64] | None = None,
) -> Texts:
    """Read rows of `FEATURES`; amount and day are missing where their column is, or is none."""
    texts = read_texts(reader, files, FEATURE_COLUMNS, chosen)
    amount, day = "CAST(NULL AS DOUBLE)", "CAST(NULL AS VARCHAR)"
    by_name = {column.name: column for column in files.columns}
    found = by_name.get(_AMOUNT_COLUMN)
    if found is not None and (found.is_number or found.is_text):
        amount = found.as_number("TRY_CAST")
    found = by_name.get(dates.date_column)
    # A month has no weekday.
    if found is not None and dates.date_column_format == "date" and _may_be_day(found):
        of_row = dates.day_of(found)
        # NumPy reads four digits of a year.
        in_range = f"({of_row}) BETWEEN DATE '1000-01-01' AND DATE '9999-12-31'"
        day = f"CASE WHEN {in_range} THEN CAST(({of_row}) AS VARCHAR) END"
    query = f"SELECT {amount} AS amount, {day} AS day FROM {files.relation()}"
    table = reader.connection.sql(query).to_arrow_table()
    if chosen is not None:
        table = table.take(chosen)
    others = np.empty((table.num_rows, 2), dtype=object)
    others[:, 0] = table["amount"].to_numpy()
    others[:, 1] = table["day"].fill_null("").to_pylist()
    return np.hstack([texts, others])


def _may_be_day(column: Column) -> bool:
    return column.is_text or column.type_id.startswith(("date", "timestamp"))
