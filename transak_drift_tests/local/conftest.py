"""Days of transactions that all trainings of these tests use."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from transak_drift.local.transaction_generator import GeneratorSettings, generate_day

DRIFT_DAY = date(2026, 3, 6)
ROWS = 1000


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[date, Path]:
    """Four quiet days and one that drifted."""
    directory = tmp_path_factory.mktemp("transactions")
    generator = GeneratorSettings(seed=11, rows_per_day=ROWS, drift_from=DRIFT_DAY)
    files = {}
    for n in range(-4, 1):
        day = DRIFT_DAY + timedelta(days=n)
        files[day] = directory / f"{day}.parquet"
        pq.write_table(generate_day(day, generator), files[day])
    return files
