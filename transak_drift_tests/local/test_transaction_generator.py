"""The synthetic transactions: reproducible, quiet on ordinary days, drifting when told to."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.local.merchants import CATEGORIES, MERCHANTS, NEW_PAYMENT_SCHEME
from transak_drift.local.transaction_generator import (
    SYNTHETIC_METADATA_KEY,
    TRANSACTION_SCHEMA,
    DriftInjection,
    GeneratorSettings,
    generate_day,
)

DAY = date(2026, 3, 4)
THRESHOLD = 0.3


def fingerprint(day: date, generator: GeneratorSettings) -> str:
    return hashlib.sha256(repr(generate_day(day, generator).to_pylist()).encode()).hexdigest()


def shares(values: Iterable[str]) -> dict[str, float]:
    counts = Counter(values)
    total = sum(counts.values())
    return {value: count / total for value, count in counts.items()}


def l_infinity(first: dict[str, float], second: dict[str, float]) -> float:
    return max(abs(first.get(v, 0.0) - second.get(v, 0.0)) for v in first.keys() | second.keys())


def distance(baseline: pa.Table, target: pa.Table, column: str) -> float:
    return l_infinity(
        shares(baseline.column(column).to_pylist()), shares(target.column(column).to_pylist())
    )


def test_rows_depend_on_seed_and_day_alone() -> None:
    generator = GeneratorSettings(seed=5, rows_per_day=300)
    first = fingerprint(DAY, generator)
    fingerprint(DAY + timedelta(days=1), generator)
    assert fingerprint(DAY, generator) == first
    assert fingerprint(DAY, GeneratorSettings(seed=6, rows_per_day=300)) != first
    assert fingerprint(DAY + timedelta(days=1), generator) != first


def test_another_process_generates_the_same_rows() -> None:
    generator = GeneratorSettings(seed=5, rows_per_day=300, injections=(DriftInjection(DAY),))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(fingerprint, (DAY, generator)) == fingerprint(DAY, generator)


def test_columns_are_typed_filled_and_plausible() -> None:
    table = generate_day(DAY, GeneratorSettings(seed=1))
    assert table.schema.equals(TRANSACTION_SCHEMA, check_metadata=True)
    assert table.num_rows == 5000
    assert all(column.null_count == 0 for column in table.columns)
    assert len(set(table.column("transaction_id").to_pylist())) == 5000
    assert set(table.column("date").to_pylist()) == {DAY}
    assert set(table.column("currency").to_pylist()) == {"CHF", "EUR"}
    assert set(table.column("category").to_pylist()) == {item.name for item in CATEGORIES}
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


def test_descriptions_have_a_head_and_a_long_tail() -> None:
    table = generate_day(DAY, GeneratorSettings(seed=1))
    frequent = Counter(table.column("description").to_pylist()).most_common()
    assert len(frequent) > 1500
    assert 0.008 < frequent[0][1] / 5000 < 0.05
    assert sum(count for _, count in frequent[:20]) / 5000 > 0.08


def test_files_tell_that_they_are_synthetic(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    pq.write_table(generate_day(DAY, GeneratorSettings(rows_per_day=5)), path)
    assert pq.read_schema(path).metadata[SYNTHETIC_METADATA_KEY].startswith(b"true")


def test_no_ordinary_day_of_a_year_comes_near_the_threshold() -> None:
    generator = GeneratorSettings(seed=1, rows_per_day=1000)
    first = date(2025, 12, 4)
    tables = [generate_day(first + timedelta(days=n), generator) for n in range(28 + 365)]
    for column in ("description", "type"):
        encoded = pa.concat_tables(tables).column(column).combine_chunks().dictionary_encode()
        values = encoded.indices.to_numpy().reshape(len(tables), 1000)
        size = len(encoded.dictionary)
        window = np.bincount(values[:28].ravel(), minlength=size)
        worst = 0.0
        for index in range(28, len(tables)):
            target = np.bincount(values[index], minlength=size)
            worst = max(worst, float(np.max(np.abs(target / 1000 - window / 28_000))))
            window += target - np.bincount(values[index - 28], minlength=size)
        assert 0.0 < worst < 0.2, column


def test_weekends_month_ends_and_december_differ_as_in_life() -> None:
    generator = GeneratorSettings(seed=2, rows_per_day=20_000)

    def share(day: date, category: str) -> float:
        return shares(generate_day(day, generator).column("category").to_pylist())[category]

    wednesday, sunday = date(2026, 3, 11), date(2026, 3, 15)
    assert share(sunday, "restaurants") > share(wednesday, "restaurants")
    assert share(sunday, "salary") < share(wednesday, "salary")
    assert share(date(2026, 3, 25), "salary") > 1.5 * share(wednesday, "salary")
    assert share(date(2026, 3, 31), "rent") > 1.5 * share(wednesday, "rent")
    assert share(date(2026, 12, 9), "shopping") > 1.1 * share(wednesday, "shopping")


@pytest.mark.parametrize("share", [0.5, 0.6, 0.8])
def test_injected_drift_exceeds_the_threshold_in_both_features(share: float) -> None:
    quiet = GeneratorSettings(seed=3)
    drifting = GeneratorSettings(seed=3, injections=(DriftInjection(DAY, share=share),))
    baseline = pa.concat_tables(
        generate_day(DAY - timedelta(days=n), drifting) for n in range(1, 8)
    )
    assert distance(baseline, generate_day(DAY, drifting), "type") == pytest.approx(share, abs=0.03)
    assert distance(baseline, generate_day(DAY, drifting), "description") == pytest.approx(
        share * NEW_PAYMENT_SCHEME.collective_share, abs=0.03
    )
    for column in ("type", "description"):
        assert distance(baseline, generate_day(DAY, drifting), column) > THRESHOLD
        assert distance(baseline, generate_day(DAY, quiet), column) < 0.2


def test_two_days_of_the_new_scheme_are_alike() -> None:
    drifting = GeneratorSettings(seed=3, injections=(DriftInjection(DAY),))
    first = generate_day(DAY, drifting)
    second = generate_day(DAY + timedelta(days=1), drifting)
    assert distance(first, second, "type") < 0.1
    assert distance(first, second, "description") < 0.1


def test_drift_ends_after_its_last_day() -> None:
    quiet = GeneratorSettings(seed=3, rows_per_day=200)
    drifting = GeneratorSettings(
        seed=3, rows_per_day=200, injections=(DriftInjection(DAY, DAY + timedelta(days=1)),)
    )
    changed = [
        n
        for n in range(-1, 4)
        if not generate_day(DAY + timedelta(days=n), quiet).equals(
            generate_day(DAY + timedelta(days=n), drifting)
        )
    ]
    assert changed == [0, 1]


def test_rows_that_do_not_move_stay_the_same() -> None:
    quiet = generate_day(DAY, GeneratorSettings(seed=3)).to_pylist()
    drifting = generate_day(
        DAY, GeneratorSettings(seed=3, injections=(DriftInjection(DAY),))
    ).to_pylist()
    moved = [row["type"] == NEW_PAYMENT_SCHEME.booking_type for row in drifting]
    assert 0.55 < sum(moved) / len(moved) < 0.65
    assert all(
        before == after
        for before, after, has_moved in zip(quiet, drifting, moved, strict=True)
        if not has_moved
    )


def test_gradual_drift_grows_by_the_day() -> None:
    injection = DriftInjection(DAY, share=0.6, ramp_days=6)
    drifting = GeneratorSettings(seed=4, injections=(injection,))
    baseline = generate_day(DAY - timedelta(days=1), drifting)
    distances = [
        distance(baseline, generate_day(DAY + timedelta(days=n), drifting), "type")
        for n in range(8)
    ]
    assert distances == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6], abs=0.04)


def test_of_overlapping_injections_the_greater_share_counts() -> None:
    both = GeneratorSettings(
        seed=4, injections=(DriftInjection(DAY, share=0.2), DriftInjection(DAY, share=0.7))
    )
    one = GeneratorSettings(seed=4, injections=(DriftInjection(DAY, share=0.7),))
    assert generate_day(DAY, both).equals(generate_day(DAY, one))


@given(
    rows=st.integers(min_value=1, max_value=40),
    seed=st.integers(min_value=0, max_value=2**70),
    day=st.dates(min_value=date(1900, 1, 1)),
)
@settings(deadline=None, max_examples=60)
def test_any_day_seed_and_size_gives_whole_rows(rows: int, seed: int, day: date) -> None:
    table = generate_day(day, GeneratorSettings(seed=seed, rows_per_day=rows))
    assert table.num_rows == rows
    table.validate(full=True)
    assert all(text.strip() == text != "" for text in table.column("description").to_pylist())


def test_settings_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="seed = -1"):
        GeneratorSettings(seed=-1)
    with pytest.raises(ValueError, match="rows_per_day = 0"):
        GeneratorSettings(rows_per_day=0)
    with pytest.raises(ValueError, match=r"share = 1\.5"):
        DriftInjection(DAY, share=1.5)
    with pytest.raises(ValueError, match="share = nan"):
        DriftInjection(DAY, share=float("nan"))
    with pytest.raises(ValueError, match="ramp_days = 0"):
        DriftInjection(DAY, ramp_days=0)
    with pytest.raises(ValueError, match="last_day = 2026-03-03"):
        DriftInjection(DAY, DAY - timedelta(days=1))


def test_the_catalogue_is_consistent() -> None:
    names = {category.name for category in CATEGORIES}
    assert {merchant.category for merchant in MERCHANTS} == names
    assert sum(category.share for category in CATEGORIES) == pytest.approx(1.0, abs=0.05)
    assert set(NEW_PAYMENT_SCHEME.partners) <= {merchant.name for merchant in MERCHANTS}
    assert NEW_PAYMENT_SCHEME.collective_category in names
    assert len({category.merchant_category_code for category in CATEGORIES}) == len(CATEGORIES)
