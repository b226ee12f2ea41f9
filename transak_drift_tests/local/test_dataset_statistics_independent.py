"""Distances of random datasets in real files against a computation by pandas, numpy and scipy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import chebyshev, jensenshannon

from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    FeatureKind,
    NumericalStatistics,
)
from transak_drift.local.dataset_statistics import scan_statistics

TOLERANCE = 1e-9
KINDS = {
    "description": FeatureKind.CATEGORICAL,
    "type": FeatureKind.CATEGORICAL,
    "amount": FeatureKind.NUMERICAL,
    "balance": FeatureKind.NUMERICAL,
    "constant": FeatureKind.NUMERICAL,
    "whole": FeatureKind.NUMERICAL,
}
DESCRIPTIONS = [
    " ", "Migros Zürich", "migros zürich", "SBB CFF FFS", "Café «Plüsch» 😀", "東京",
    'quo"te', "semi;colon", "com,ma", "two\nlines", "tab\t", "NULL", "nan", "001", "1",
    "e\u0301", "é",
]  # fmt: skip


def _dataset(seed: int, rows: int, drift: float) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    known = DESCRIPTIONS[seed % 3 :] + [f"merchant {index}" for index in range(seed, seed + 300)]
    weights = generator.dirichlet(np.full(len(known), 0.3))
    amount = generator.gamma(2 + drift, 40, rows) * generator.choice([-1, 1], rows, p=[0.9, 0.1])
    # Rounded numbers, so that many lie exactly on the edges of the buckets.
    balance = np.round(generator.uniform(-10, 10 + drift, rows), 1)
    balance[:2] = (-10, 10)
    special = generator.random(rows)
    balance = np.where(special < 0.01, np.nan, balance)
    balance = np.where((special > 0.01) & (special < 0.02), np.inf, balance)
    balance = np.where((special > 0.02) & (special < 0.03), -np.inf, balance)
    frame = pd.DataFrame(
        {
            "description": generator.choice(np.array(known, dtype=object), rows, p=weights),
            "type": generator.choice(
                np.array(["CARD", "TWINT", "TRANSFER"], dtype=object),
                rows,
                p=[0.6 - drift / 10, 0.3, 0.1 + drift / 10],
            ),
            "amount": amount,
            "balance": balance,
            "constant": np.full(rows, 4.25),
            "whole": generator.integers(-(10**6), 10**6, rows) * (seed % 2 + 1),
        }
    ).astype({"description": object, "type": object, "whole": "Int64"})
    for name in ("description", "type", "whole"):
        frame.loc[generator.random(rows) < 0.05, name] = None
    # A null, unlike a NaN, is no value: the mask keeps the two apart.
    frame.attrs["null_amount"] = generator.random(rows) < 0.1
    return frame


def _table(frame: pd.DataFrame) -> pa.Table:
    columns = {}
    for name in frame:
        mask = frame[name].isna().to_numpy()
        if name == "amount":
            mask = frame.attrs["null_amount"]
        elif name == "balance":
            mask = np.zeros(len(frame), dtype=bool)
        columns[str(name)] = pa.array(frame[name].to_numpy(), mask=mask)
    return pa.table(columns)


def _write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=700)
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(table.column_names) + "\n")
        for row in table.to_pylist():
            file.write(",".join(_csv_cell(cell) for cell in row.values()) + "\n")
    return path


def _csv_cell(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return '"' + cell.replace('"', '""') + '"'
    return repr(cell)


def _present(table: pa.Table, name: str) -> np.ndarray:
    return np.array([cell for cell in table[name].to_pylist() if cell is not None])


def _expected_l_infinity(baseline: pa.Table, target: pa.Table, name: str) -> float:
    shares = [
        pd.Series(_present(side, name), dtype=object).value_counts(normalize=True)
        for side in (baseline, target)
    ]
    both = pd.concat(shares, axis=1).fillna(0.0)
    return float(chebyshev(both.iloc[:, 0], both.iloc[:, 1]))


def _expected_divergence(baseline: pa.Table, target: pa.Table, name: str) -> float:
    sides = [_present(side, name).astype(np.float64) for side in (baseline, target)]
    finite = [side[np.isfinite(side)] for side in sides]
    if all(len(set(side)) == 1 for side in finite):
        masses = [np.array([1.0, 0.0]), np.array([1.0, 0.0])]
        if finite[0][0] != finite[1][0]:
            masses[1] = np.array([0.0, 1.0])
        return float(jensenshannon(*masses, base=2) ** 2)
    edges = [np.histogram_bin_edges(side, bins=10) for side in finite]
    grid = np.union1d(*edges)
    rows = []
    for side, values in enumerate(sides):
        counts, _ = np.histogram(finite[side], bins=10)
        spread = np.zeros(len(grid) - 1)
        for place, (low, high) in enumerate(pairwise(grid)):
            overlap = np.minimum(edges[side][1:], high) - np.maximum(edges[side][:-1], low)
            spread[place] = (counts * overlap.clip(0) / np.diff(edges[side])).sum()
        unmatched = np.zeros(4)
        unmatched[[side, 2 + side]] = np.isnan(values).sum(), np.isinf(values).sum()
        rows.append(np.concatenate([spread, unmatched]))
    return float(jensenshannon(*rows, base=2) ** 2)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("seeds", "rows", "drift"),
    [((1, 1), (500, 500), 0.0), ((2, 3), (3000, 40), 0.0), ((4, 6), (2000, 2500), 2.0)],
)
def test_distances_are_those_of_an_independent_computation(
    tmp_path: Path, suffix: str, seeds: tuple[int, int], rows: tuple[int, int], drift: float
) -> None:
    tables = [
        _table(_dataset(seeds[0], rows[0], 0.0)),
        _table(_dataset(seeds[1], rows[1], drift)),
    ]
    baseline, target = (
        scan_statistics([_write(table, tmp_path / f"{place}.{suffix}")], {**KINDS})
        for place, table in enumerate(tables)
    )
    assert (baseline.rows, target.rows) == rows
    for name, kind in KINDS.items():
        expect = _expected_l_infinity if kind is FeatureKind.CATEGORICAL else _expected_divergence
        expected = expect(*tables, name)
        found = compare_features(baseline, target, {name: 1.0})[0].distance or 0.0
        assert found == pytest.approx(expected, abs=TOLERANCE), name
        if drift and name in ("description", "type", "amount"):
            assert found > 0.01, name


@pytest.mark.parametrize("seed", range(10))
def test_values_on_edges_fall_into_the_buckets_of_numpy(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    low, high = np.sort(generator.normal(0, 10.0 ** generator.integers(-3, 6), 2))
    edges = np.linspace(low, high, 11)
    values = np.concatenate(
        [
            edges,
            np.nextafter(edges, low),
            np.nextafter(edges, high),
            generator.uniform(low, high, 50),
        ]
    ).clip(low, high)
    pq.write_table(pa.table({"value": values}), tmp_path / "a.parquet")
    found = scan_statistics([tmp_path / "a.parquet"], {"value": None}).features["value"]
    counts, numpy_edges = np.histogram(values, bins=10)
    assert isinstance(found, NumericalStatistics)
    assert found.edges == tuple(numpy_edges)
    assert found.counts == tuple(counts)
