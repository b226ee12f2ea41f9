"""The synthetic transactions: reproducible, quiet on ordinary days, drifting when told to."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from transak_drift.local.transaction_generator import (
    SYNTHETIC_METADATA_KEY,
    TRANSACTION_SCHEMA,
    GeneratorSettings,
    catalogue,
    generate_day,
)
from transak_drift_tests.drift.datasets import categorical, distance

DAY = date(2026, 3, 4)
WEDNESDAY = date(2026, 3, 11)
THRESHOLD = 0.3
GOLDEN = ["f855551d30c1ce22", "9ab3c23a0c6b8f77", "2cfd85a9baff02d3"]
SCHEME = catalogue()["new_payment_scheme"]


def fingerprint(day: date, generator: GeneratorSettings) -> str:
    return hashlib.sha256(repr(generate_day(day, generator).to_pylist()).encode()).hexdigest()


def column_distance(baseline: pa.Table, target: pa.Table, column: str) -> float:
    sides = [categorical(table.column(column).to_pylist()) for table in (baseline, target)]
    return distance(*sides)


def test_rows_depend_on_seed_and_day_alone() -> None:
    generator = GeneratorSettings(seed=5, rows_per_day=300, drift_from=DAY)
    days = (DAY - timedelta(days=400), DAY, DAY + timedelta(days=300))
    # Those of earlier releases.
    assert [fingerprint(day, generator)[:16] for day in days] == GOLDEN
    assert fingerprint(DAY, replace(generator, seed=6))[:16] != GOLDEN[1]


def test_columns_are_typed_filled_and_plausible() -> None:
    table = generate_day(DAY, GeneratorSettings(seed=1))
    assert table.schema.equals(TRANSACTION_SCHEMA, check_metadata=True)
    assert table.schema.metadata[SYNTHETIC_METADATA_KEY].startswith(b"true")
    assert table.num_rows == len(set(table.column("transaction_id").to_pylist())) == 5000
    assert all(column.null_count == 0 for column in table.columns)
    assert set(table.column("date").to_pylist()) == {DAY}
    assert set(table.column("currency").to_pylist()) == {"CHF", "EUR"}
    descriptions = Counter(table.column("description").to_pylist())
    assert len(descriptions) > 1500
    assert 0.008 < max(descriptions.values()) / 5000 < 0.05
    assert all(text.strip() == text for text in descriptions)
    amounts = table.column("amount").to_numpy()
    assert np.array_equal(amounts, np.round(amounts, 2))
    assert not np.any(amounts == 0.0)
    types, categories = (np.array(table.column(name).to_pylist()) for name in ("type", "category"))
    assert np.all(amounts[types == "Salary credit"] > 0)
    assert np.all(amounts[types == "Card payment"] < 0)
    assert np.all(amounts[types == "ATM withdrawal"] % 10 == 0)
    groceries = amounts[(categories == "groceries") & (amounts < 0)]
    assert np.median(groceries) == pytest.approx(-34.0, rel=0.15)


def test_no_ordinary_day_comes_near_the_threshold() -> None:
    generator = GeneratorSettings(seed=1, rows_per_day=400)
    first = date(2025, 11, 20)
    tables = [generate_day(first + timedelta(days=n), generator) for n in range(28 + 50)]
    for column in ("description", "type"):
        found = [
            column_distance(pa.concat_tables(tables[n - 28 : n]), tables[n], column)
            for n in range(28, len(tables), 3)
        ]
        assert 0.0 < max(found) < 0.2, column


def test_weekends_month_ends_and_december_differ_as_in_life() -> None:
    @cache
    def of_day(day: date) -> dict[str, float]:
        table = generate_day(day, GeneratorSettings(seed=2, rows_per_day=3000))
        counts = Counter(table.column("category").to_pylist())
        return {name: count / counts.total() for name, count in counts.items()}

    def ratio(day: date, category: str) -> float:
        return of_day(day)[category] / of_day(WEDNESDAY)[category]

    assert ratio(date(2026, 3, 15), "restaurants") > 1
    assert ratio(date(2026, 3, 15), "salary") < 1
    assert ratio(date(2026, 3, 25), "salary") > 1.5
    assert ratio(date(2026, 3, 31), "rent") > 1.5
    assert ratio(date(2026, 12, 9), "shopping") > 1.1


def test_injected_drift_exceeds_the_threshold_and_leaves_the_other_rows_as_they_are() -> None:
    share = 0.5
    quiet = GeneratorSettings(seed=3, rows_per_day=3000)
    drifting = replace(quiet, drift_from=DAY, drift_share=share)
    before, today, tomorrow = (generate_day(DAY + timedelta(days=n), drifting) for n in (-1, 0, 1))
    for column, expected in (("type", share), ("description", share * SCHEME["collective_share"])):
        found = column_distance(before, today, column)
        assert found == pytest.approx(expected, abs=0.04)
        assert found > THRESHOLD
        assert column_distance(tomorrow, today, column) < 0.1
    rows = zip(generate_day(DAY, quiet).to_pylist(), today.to_pylist(), strict=True)
    assert all(now == usual for usual, now in rows if now["type"] != SCHEME["booking_type"])


def test_the_catalogue_is_consistent() -> None:
    categories = catalogue()["categories"]
    merchants = [merchant for category in categories for merchant in category["merchants"]]
    assert sum(category["share"] for category in categories) == pytest.approx(1.0, abs=0.05)
    assert {profile for _, profile, _ in merchants} == set(catalogue()["booking_profiles"])
    assert set(SCHEME["partners"]) <= {name for name, *_ in merchants}
    assert SCHEME["collective_category"] in {category["name"] for category in categories}
    assert len({category["merchant_category_code"] for category in categories}) == len(categories)
