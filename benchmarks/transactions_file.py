"""Large files of transactions: 50,000 descriptions as merchants have them, types, amounts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.local.atomic_file import replace_file

DESCRIPTIONS = 50_000
_ROWS_PER_PART = 1_000_000
_TYPES = ("CARD", "TRANSFER", "DIRECT DEBIT", "STANDING ORDER", "ATM", "TWINT", "SALARY", "FEE")
_TYPE_SHARES = (0.41, 0.19, 0.11, 0.09, 0.08, 0.06, 0.04, 0.02)


def write_transactions(file: Path, rows: int, *, seed: int, drift: float = 0.0) -> None:
    """Write a Parquet file with PyArrow's default settings, as the platform's own files are.

    Descriptions follow Zipf's law (the exponent 1.05 leaves the last of them about two rows a
    million), amounts in CHF a log-normal distribution, rounded to centimes. Of the rows, the share
    `drift` has the most frequent description and twice the amount.
    """
    generator = np.random.default_rng(seed)
    names = pa.array([f"MERCHANT {number:05d} ZÜRICH CH" for number in range(DESCRIPTIONS)])
    weights = 1 / np.arange(1, DESCRIPTIONS + 1) ** 1.05
    name_bounds, type_bounds = np.cumsum(weights) / weights.sum(), np.cumsum(_TYPE_SHARES)
    schema = pa.schema([("description", pa.string()), ("type", pa.string()), ("amount", "double")])
    with replace_file(file) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for start in range(0, rows, _ROWS_PER_PART):
            part = min(_ROWS_PER_PART, rows - start)
            drifted = generator.random(part) < drift
            name = np.searchsorted(name_bounds, generator.random(part)).clip(0, DESCRIPTIONS - 1)
            kind = np.searchsorted(type_bounds, generator.random(part)).clip(0, len(_TYPES) - 1)
            amount = generator.lognormal(3.5, 1.2, part) * (1 + drifted)
            columns = [
                names.take(pa.array(np.where(drifted, 0, name))),
                pa.array(_TYPES).take(pa.array(kind)),
                pa.array(np.round(amount, 2)),
            ]
            writer.write_table(pa.table(columns, schema=schema))
