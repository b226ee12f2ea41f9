"""Reads labelled transactions for a training and holds recent rows out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transak_drift.drift.canonical_text import canonical_text
from transak_drift.platform import PlatformError

_MIN_ROWS = 50
_HELD_OUT_FRACTION = 0.2


class TrainingDataError(PlatformError):
    """Transactions that no classifier can be trained on; the message names the way out."""


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Texts of shape (rows, feature columns), "" where missing, and the rows' labels."""

    features: npt.NDArray[np.object_]
    labels: npt.NDArray[np.object_]

    def where(self, mask: npt.NDArray[np.bool_]) -> LabelledRows:
        return LabelledRows(self.features[mask], self.labels[mask])


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows of a training window, split: each label of the window occurs in `training`."""

    training: LabelledRows
    held_out: LabelledRows
    rows_in_window: int


def feature_texts(table: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.object_]:
    """Read columns of any type as canonical texts, "" where missing; shape (rows, columns)."""
    texts = np.empty((table.num_rows, len(columns)), dtype=object)
    for index, name in enumerate(columns):
        texts[:, index] = ["" if text is None else text for text in _text_column(table, name)]
    return texts


def _text_column(table: pa.Table, name: str) -> list[str | None]:
    _require_columns(table.column_names, [name], "the table")
    column = table.column(name)
    try:
        texts = pc.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TrainingDataError(
            f"column {name!r} of type {column.type} cannot be read as text: {error}; "
            "fix: store it as text"
        ) from None
    known = {text: canonical_text(text) or None for text in texts.unique().drop_null().to_pylist()}
    return [known.get(text) for text in texts.to_pylist()]


def _require_columns(existing: Sequence[str], wanted: Sequence[str], place: Any) -> None:
    missing = [name for name in wanted if name not in existing]
    if missing:
        raise TrainingDataError(
            f"{place} has no column {', '.join(map(repr, missing))}; its columns are "
            f"{', '.join(map(repr, existing))}; fix: add the column or name another in the "
            "configuration (label_column)"
        )


def read_training_data(
    training_files: Sequence[Path],
    feature_columns: Sequence[str],
    label_column: str,
    *,
    seed: int,
    max_rows: int = 60_000,
) -> TrainingData:
    """Read a training window and split it into training rows and held-out recent rows.

    Of a window with more than `max_rows` rows a seeded sample is read: the newest file gives as
    many rows as it has, at most half of the sample, and the older ones the rest in proportion to
    their size. A fifth of the rows is held out, drawn label by label; half of the newest file's
    rows, or fewer if that is enough, and the rest from the older files, so that the evaluation
    leans to recent data. One row of each label always stays in training.

    The files are one for each day, oldest first.
    """
    if not training_files:
        raise TrainingDataError("training_files is empty; fix: name at least one day's file")
    columns = [*feature_columns, label_column]
    row_counts = [_row_count(path, columns) for path in training_files]
    parts: list[LabelledRows] = []
    rows_read = 0
    for index, quota in enumerate(_row_quotas(row_counts, max_rows)):
        random = np.random.default_rng([seed, index])
        table = pq.read_table(training_files[index], columns=columns)
        if quota < table.num_rows:
            chosen = np.sort(random.choice(table.num_rows, quota, replace=False))
            table = table.take(pa.array(chosen))
        rows_read += table.num_rows
        labels = np.array(_text_column(table, label_column), dtype=object)
        rows = LabelledRows(feature_texts(table, feature_columns), labels)
        parts.append(rows.where(labels != None))  # noqa: E711 - element by element
    features, labels = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("features", "labels")
    )
    _require_learnable(labels, label_column, rows_read - len(labels))
    held_out = _held_out_mask(
        labels, len(parts[-1].labels), np.random.default_rng([seed, len(parts)])
    )
    rows = LabelledRows(features, labels)
    return TrainingData(rows.where(~held_out), rows.where(held_out), sum(row_counts))


def _row_count(path: Path, wanted: Sequence[str]) -> int:
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingDataError(
            f"training_files: {path} is not a readable Parquet file: {error}; "
            "fix: write that day's transactions again"
        ) from None
    _require_columns(metadata.schema.to_arrow_schema().names, wanted, path)
    return metadata.num_rows


def _row_quotas(row_counts: Sequence[int], max_rows: int) -> list[int]:
    if sum(row_counts) <= max_rows:
        return list(row_counts)
    *older, newest = row_counts
    from_newest = min(newest, max(max_rows // 2, max_rows - sum(older)))
    remaining = max_rows - from_newest
    return [*(remaining * rows // sum(older) for rows in older), from_newest]


def _require_learnable(
    labels: npt.NDArray[np.object_], label_column: str, unlabelled_rows: int
) -> None:
    if len(labels) < _MIN_ROWS:
        raise TrainingDataError(
            f"the training window has {len(labels)} rows with a label in {label_column!r} "
            f"({unlabelled_rows} without); at least {_MIN_ROWS} are needed; "
            "fix: add days or labels"
        )
    distinct = set(labels)
    if len(distinct) < 2:
        raise TrainingDataError(
            f"column {label_column!r} has only the label {distinct.pop()!r}; a classifier needs "
            "two; fix: name the column with the labels (label_column)"
        )


def _held_out_mask(
    labels: npt.NDArray[np.object_], newest_rows: int, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    older_rows = len(labels) - newest_rows
    wanted = _HELD_OUT_FRACTION * len(labels)
    from_newest = min(newest_rows / 2, wanted)
    from_older = min(older_rows / 2, wanted - from_newest)
    is_newest = np.arange(len(labels)) >= older_rows
    mask = np.zeros(len(labels), dtype=bool)
    for part, fraction in (
        (is_newest, from_newest / max(newest_rows, 1)),
        (~is_newest, from_older / max(older_rows, 1)),
    ):
        for label in sorted(set(labels[part])):
            of_label = labels == label
            candidates = np.flatnonzero(of_label & part)
            # Rounded at random, so that rare labels are held out in proportion too.
            count = int(fraction * len(candidates) + random.random())
            left_to_train = int(np.count_nonzero(of_label & ~mask)) - 1
            mask[random.choice(candidates, min(count, left_to_train), replace=False)] = True
    if not mask.any():
        # Every label is rarer than one row in the share: the newest row of the commonest is held.
        values, counts = np.unique(labels, return_counts=True)
        mask[np.flatnonzero(labels == values[np.argmax(counts)])[-1]] = True
    return mask
