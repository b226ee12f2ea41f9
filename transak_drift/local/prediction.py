"""Predictions of the local platform: each transaction with the category the champion predicts."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.local.atomic_file import replace_file
from transak_drift.local.model_registry import ModelRegistry
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.trainer import predict
from transak_drift.platform import Dataset, PlatformError, PredictedDataset


def predict_day(state: StateDirectory, registry: ModelRegistry, day: date) -> PredictedDataset:
    """Predict the category of each of a day's transactions.

    Args:
        state: the monitored model's directory.
        registry: the model registry; without a champion the transactions pass as they are.
        day: the day, whose transactions are landed.

    Returns:
        Where the predictions are.

    Raises:
        PlatformError: the day's transactions are not landed.
    """
    source = state.transactions(day)
    if not source.exists():
        raise PlatformError(
            f"no transactions of {day}; materialize transactions for that day first"
        )
    table = pq.read_table(source)
    champion = registry.champion()
    counts: Counter[str] = Counter()
    # A day without bookings has nothing to predict, nor always the columns to predict from.
    if champion is not None and table.num_rows:
        predicted = predict(registry.load(champion), table)
        counts.update(predicted.column("predicted_category").to_pylist())
        for name in predicted.column_names:
            table = _with_column(table, name, predicted.column(name))
    target = state.predictions(day)
    with replace_file(target) as temporary:
        pq.write_table(table, temporary)
    return PredictedDataset(
        Dataset(str(target), table.num_rows),
        str(champion.number) if champion else None,
        dict(counts.most_common()),
    )


def _with_column(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)
