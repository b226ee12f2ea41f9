"""Held-out rows: which they are, and how challenger and champion do on them.

A row is held out by a hash of its key alone, so that no version is trained on a row that any other
is judged by. The hash is the same in every process and for every type of file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from transak_drift.config.sections import PromotionPolicy
from transak_drift.drift.canonical_text import canonical_text
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.classifier import predict_probabilities
from transak_drift.local.tabular_files import NESTED_TYPES, DatasetReader, TabularFiles
from transak_drift.training.comparison import Predictions, compare_models
from transak_drift.training.promotion import Comparison, SetName, judge_challenger

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

HELD_OUT_SHARE = 0.2
KEY_COLUMN = "transaction_id"

_HASH_BYTES = 8
_LIMIT = int(HELD_OUT_SHARE * 2 ** (8 * _HASH_BYTES))
# Between the parts of a key; no text of a file has it by accident.
_SEPARATOR = "\x1f"

# Rows of canonical texts, "" where missing; the last column is the label.
Texts = npt.NDArray[np.object_]


def read_texts(
    reader: DatasetReader,
    files: TabularFiles,
    names: Sequence[str],
    chosen: npt.NDArray[np.int64] | None = None,
) -> Texts:
    """Read columns of any type as canonical texts, "" where missing; shape (rows, columns)."""
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


def row_hashes(
    reader: DatasetReader, files: TabularFiles, label_column: str
) -> npt.NDArray[np.uint64]:
    """Return the hash of each row's key, in the files' order; evenly distributed over 64 bits.

    The key is the row's `transaction_id`, else all that the row has but its label, which may come
    later. Rows that are alike are told apart by their number, so that a frequent one is not held
    out altogether.
    """
    names = sorted(
        column.name
        for column in files.columns
        if column.name != label_column and column.type_id not in NESTED_TYPES
    )
    ids = read_texts(reader, files, [KEY_COLUMN])[:, 0] if KEY_COLUMN in names else None
    if ids is not None and all(ids):
        keys = ids.tolist()
    else:
        rows = read_texts(reader, files, names).tolist()
        keys = [_SEPARATOR.join(row) for row in rows]
        if ids is not None:
            keys = [text or key for text, key in zip(ids, keys, strict=True)]
    seen: Counter[str] = Counter()
    hashes = np.empty(len(keys), dtype=np.uint64)
    for row, key in enumerate(keys):
        number, seen[key] = seen[key], seen[key] + 1
        numbered = f"{key}{_SEPARATOR}{number}" if number else key
        digest = hashlib.blake2b(numbered.encode(), digest_size=_HASH_BYTES).digest()
        hashes[row] = int.from_bytes(digest)
    return hashes


def is_held_out(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which rows no version is trained on: a fifth of them."""
    return hashes < _LIMIT


def predict_rows(pipeline: Pipeline, rows: Texts) -> Predictions:
    """Predict rows; a label that the model does not know gets the probability 0."""
    labels, classes = rows[:, -1], np.asarray(pipeline.classes_, dtype=object)
    if not len(rows):
        none = np.empty(0)
        return Predictions(labels, none, none)
    probabilities = predict_probabilities(pipeline, rows[:, :-1])
    place = {label: column for column, label in enumerate(classes)}
    columns = np.array([place.get(label, -1) for label in labels])
    of_label = np.where(columns < 0, 0.0, probabilities[np.arange(len(rows)), columns])
    return Predictions(
        labels=classes[probabilities.argmax(axis=1)],
        probability=probabilities.max(axis=1),
        true_probability=of_label,
    )


def evaluate_challenger(
    challenger: Pipeline,
    champion: Pipeline | None,
    recent: Texts,
    historical: Texts,
    policy: PromotionPolicy,
) -> Comparison:
    """Judge the challenger by held-out rows of both kinds, with their labels as last column."""
    sets: dict[SetName, Texts] = {"recent": recent, "historical": historical}
    return judge_challenger(
        [
            compare_models(
                name,
                rows[:, -1],
                rows[:, 0],
                predict_rows(challenger, rows),
                None if champion is None else predict_rows(champion, rows),
            )
            for name, rows in sets.items()
            # The recent set is there even where it is empty: it has the model's own scores.
            if len(rows) or name == "recent"
        ],
        policy,
    )
