"""The synthetic transactions: reproducible, quiet on ordinary days, drifting when told to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.local.transaction_generator import (
    SYNTHETIC_METADATA_KEY,
    TRANSACTION_SCHEMA,
    GeneratorSettings,
    catalogue,
    generate_day,
)

DAY = date(2026, 3, 4)
WEDNESDAY = date(2026, 3, 11)
THRESHOLD = 0.3
GOLDEN = ["f855551d30c1ce22", "9ab3c23a0c6b8f77", "2cfd85a9baff02d3"]
SCHEME = catalogue()["new_payment_scheme"]


def fingerprint(day: date, generator: GeneratorSettings) -> str:
    return hashlib.sha256(repr(generate_day(day, generator).to_pylist()).encode()).hexdigest()


def shares(values: Iterable[str]) -> dict[str, float]:
    counts = Counter(values)
    total = sum(counts.values())
    return {value: count / total for value, count in counts.items()}


def distance(baseline: pa.Table, target: pa.Table, column: str) -> float:
    first, second = (shares(table.column(column).to_pylist()) for table in (baseline, target))
    return max(abs(first.get(v, 0.0) - second.get(v, 0.0)) for v in first.keys() | second.keys())


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
    assert table.num_rows == 5000
    assert all(column.null_count == 0 for column in table.columns)
    assert len(set(table.column("transaction_id").to_pylist())) == 5000
    assert set(table.column("date").to_pylist()) == {DAY}
    assert set(table.column("currency").to_pylist()) == {"CHF", "EUR"}
    assert set(table.column("category").to_pylist()) == {
        item["name"] for item in catalogue()["categories"]
    }
    frequent = Counter(table.column("description").to_pylist()).most_common()
    assert len(frequent) > 1500
    assert 0.008 < frequent[0][1] / 5000 < 0.05
    amounts = table.column("amount").to_numpy()
    assert np.array_equal(amounts, np.round(amounts, 2))
    assert not np.any(amounts == 0.0)
    types = np.array(table.column("type").to_pylist())
    assert np.all(amounts[types == "Salary credit"] > 0)
    assert np.all(amounts[types == "Card payment"] < 0)
    assert np.all(amounts[types == "ATM withdrawal"] % 10 == 0)
    groceries = amounts[np.array(table.column("category").to_pylist()) == "groceries"]
    logarithms = np.log(-groceries[groceries < 0])
    assert np.exp(np.median(logarithms)) == pytest.approx(34.0, rel=0.15)
    assert np.std(logarithms) == pytest.approx(0.8, abs=0.15)


def test_no_ordinary_day_comes_near_the_threshold() -> None:
    generator = GeneratorSettings(seed=1, rows_per_day=400)
    first = date(2025, 11, 20)
    tables = [generate_day(first + timedelta(days=n), generator) for n in range(28 + 50)]
    for column in ("description", "type"):
        found = [
            distance(pa.concat_tables(tables[n - 28 : n]), tables[n], column)
            for n in range(28, len(tables), 3)
        ]
        assert 0.0 < max(found) < 0.2, column


def test_weekends_month_ends_and_december_differ_as_in_life() -> None:
    generator = GeneratorSettings(seed=2, rows_per_day=3000)
    days = {
        day: generate_day(day, generator)
        for day in (
            WEDNESDAY,
            date(2026, 3, 15),
            date(2026, 3, 25),
            date(2026, 3, 31),
            date(2026, 12, 9),
        )
    }

    def ratio(day: date, category: str) -> float:
        found, usual = (
            shares(days[item].column("category").to_pylist())[category] for item in (day, WEDNESDAY)
        )
        return found / usual

    assert ratio(date(2026, 3, 15), "restaurants") > 1
    assert ratio(date(2026, 3, 15), "salary") < 1
    assert ratio(date(2026, 3, 25), "salary") > 1.5
    assert ratio(date(2026, 3, 31), "rent") > 1.5
    assert ratio(date(2026, 12, 9), "shopping") > 1.1


def test_injected_drift_exceeds_the_threshold_in_both_features() -> None:
    share = 0.5
    drifting = GeneratorSettings(seed=3, rows_per_day=3000, drift_from=DAY, drift_share=share)
    before, today, tomorrow = (generate_day(DAY + timedelta(days=n), drifting) for n in (-1, 0, 1))
    for column, expected in (("type", share), ("description", share * SCHEME["collective_share"])):
        found = distance(before, today, column)
        assert found == pytest.approx(expected, abs=0.04)
        assert found > THRESHOLD
        assert distance(tomorrow, today, column) < 0.1


def test_rows_that_do_not_move_stay_the_same() -> None:
    settings = GeneratorSettings(seed=3, rows_per_day=2000)
    quiet = generate_day(DAY, settings).to_pylist()
    drifting = generate_day(DAY, replace(settings, drift_from=DAY)).to_pylist()
    moved = [row["type"] == SCHEME["booking_type"] for row in drifting]
    assert 0.55 < sum(moved) / len(moved) < 0.65
    assert all(
        before == after
        for before, after, has_moved in zip(quiet, drifting, moved, strict=True)
        if not has_moved
    )


@given(
    rows=st.integers(min_value=1, max_value=40),
    seed=st.integers(min_value=0, max_value=2**70),
    day=st.dates(min_value=date(1900, 1, 1)),
)
def test_any_day_seed_and_size_gives_whole_rows(rows: int, seed: int, day: date) -> None:
    table = generate_day(day, GeneratorSettings(seed=seed, rows_per_day=rows))
    assert table.num_rows == rows
    table.validate(full=True)
    assert all(text.strip() == text != "" for text in table.column("description").to_pylist())


def test_the_catalogue_is_consistent() -> None:
    categories = catalogue()["categories"]
    merchants = [merchant for category in categories for merchant in category["merchants"]]
    assert sum(category["share"] for category in categories) == pytest.approx(1.0, abs=0.05)
    assert {profile for _, profile, _ in merchants} == set(catalogue()["booking_profiles"])
    assert set(SCHEME["partners"]) <= {name for name, *_ in merchants}
    assert SCHEME["collective_category"] in {category["name"] for category in categories}
    assert len({category["merchant_category_code"] for category in categories}) == len(categories)
