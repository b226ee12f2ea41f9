"""Reads labelled transactions for a training and holds recent rows out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transak_drift.drift.canonical_text import canonical_text
from transak_drift.platform import PlatformError

_Mask: TypeAlias = npt.NDArray[np.bool_]
_Random: TypeAlias = np.random.Generator


class TrainingDataError(PlatformError):
    """Transactions that no classifier can be trained on; the message names the way out."""


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Texts of shape (rows, feature columns), "" where missing, and the rows' labels."""

    features: npt.NDArray[np.object_]
    labels: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> LabelledRows:
        return LabelledRows(self.features[indices], self.labels[indices])


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows of a training window, split: each label of the window occurs in `training`.

    `unlabelled_rows` are those among the rows read that have no label and were left out.
    """

    training: LabelledRows
    held_out: LabelledRows
    rows_in_window: int
    unlabelled_rows: int


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
    maximum_rows: int = 60_000,
    held_out_share: float = 0.2,
    minimum_rows: int = 50,
) -> TrainingData:
    """Read a training window and split it into training rows and held-out recent rows.

    Of a window with more than `maximum_rows` rows a seeded sample is read: the newest file gives
    as many rows as it has, at most half of the sample, and the older ones the rest in proportion
    to their size. Held out are `held_out_share` of the rows, drawn label by label; half of the
    newest file's rows, or fewer if that is enough, and the rest from the older files, so that the
    evaluation leans to recent data. One row of each label always stays in training.

    The files are one for each day, oldest first; `minimum_rows` with a label are needed.
    """
    if not training_files:
        raise TrainingDataError("training_files is empty; fix: name at least one day's file")
    columns = [*feature_columns, label_column]
    row_counts = [_row_count(path, columns) for path in training_files]
    quotas = _row_quotas(row_counts, maximum_rows)
    parts: list[LabelledRows] = []
    unlabelled = 0
    for index, (path, rows, quota) in enumerate(
        zip(training_files, row_counts, quotas, strict=True)
    ):
        random = np.random.default_rng([seed, index])
        table = pq.read_table(path, columns=columns)
        if quota < rows:
            table = table.take(pa.array(np.sort(random.choice(rows, quota, replace=False))))
        labels = np.array(_text_column(table, label_column), dtype=object)
        labelled = np.flatnonzero(labels != None)  # noqa: E711 - element by element
        unlabelled += table.num_rows - len(labelled)
        parts.append(LabelledRows(feature_texts(table, feature_columns), labels).take(labelled))
    all_labels = np.concatenate([part.labels for part in parts])
    _require_learnable(all_labels, minimum_rows, label_column, unlabelled)
    held_out = _held_out_mask(
        all_labels, len(parts[-1]), held_out_share, np.random.default_rng([seed, len(parts)])
    )
    rows = LabelledRows(np.concatenate([part.features for part in parts]), all_labels)
    return TrainingData(
        training=rows.take(np.flatnonzero(~held_out)),
        held_out=rows.take(np.flatnonzero(held_out)),
        rows_in_window=sum(row_counts),
        unlabelled_rows=unlabelled,
    )


def _row_count(path: Path, wanted: Sequence[str]) -> int:
    try:
        metadata = pq.read_metadata(path)
    except FileNotFoundError:
        raise TrainingDataError(
            f"training_files: {path} does not exist; fix: write that day's transactions first"
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingDataError(
            f"training_files: {path} is not a readable Parquet file: {error}; "
            "fix: write that day's transactions again"
        ) from None
    _require_columns(metadata.schema.to_arrow_schema().names, wanted, path)
    return metadata.num_rows


def _row_quotas(row_counts: Sequence[int], maximum_rows: int) -> list[int]:
    if sum(row_counts) <= maximum_rows:
        return list(row_counts)
    *older, newest = row_counts
    if not older:
        return [maximum_rows]
    from_newest = min(newest, max(maximum_rows // 2, maximum_rows - sum(older)))
    remaining = maximum_rows - from_newest
    return [remaining * rows // sum(older) for rows in older] + [from_newest]


def _require_learnable(
    labels: npt.NDArray[np.object_], minimum_rows: int, label_column: str, unlabelled: int
) -> None:
    if len(labels) < minimum_rows:
        raise TrainingDataError(
            f"the training window has {len(labels)} rows with a label in {label_column!r} "
            f"({unlabelled} without); at least {minimum_rows} are needed; "
            "fix: add days or labels"
        )
    distinct = sorted(set(labels))
    if len(distinct) < 2:
        raise TrainingDataError(
            f"column {label_column!r} has only the label {distinct[0]!r}; a classifier needs two; "
            "fix: name the column with the labels (label_column)"
        )


def _held_out_mask(
    labels: npt.NDArray[np.object_], newest_rows: int, share: float, random: _Random
) -> _Mask:
    older_rows = len(labels) - newest_rows
    wanted = share * len(labels)
    from_newest = min(newest_rows / 2, wanted)
    newest = np.arange(len(labels)) >= older_rows
    mask = np.zeros(len(labels), dtype=bool)
    for part, part_rows, part_wanted in (
        (newest, newest_rows, from_newest),
        (~newest, older_rows, min(wanted - from_newest, older_rows / 2)),
    ):
        if part_rows:
            _hold_out_by_label(mask, labels, part, part_wanted / part_rows, random)
    if not mask.any():
        # Every label is rarer than one row in the share: the newest row of the commonest is held.
        values, counts = np.unique(labels, return_counts=True)
        mask[np.flatnonzero(labels == values[np.argmax(counts)])[-1]] = True
    return mask


def _hold_out_by_label(
    mask: _Mask, labels: npt.NDArray[np.object_], part: _Mask, share: float, random: _Random
) -> None:
    for label in sorted(set(labels[part])):
        of_label = labels == label
        candidates = np.flatnonzero(of_label & part)
        # Rounded at random, so that rare labels are held out in proportion too.
        count = int(share * len(candidates) + random.random())
        left_to_train = int(np.count_nonzero(of_label & ~mask)) - 1
        chosen = random.choice(candidates, min(count, left_to_train), replace=False)
        mask[chosen] = True
