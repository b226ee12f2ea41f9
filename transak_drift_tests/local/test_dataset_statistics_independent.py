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
from transak_drift.drift.feature_statistics import FeatureKind, NumericalStatistics
from transak_drift.local.dataset_statistics import scan_statistics

KINDS: dict[str, FeatureKind | None] = {
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


def dataset(seed: int, rows: int, drift: float) -> pa.Table:
    random = np.random.default_rng(seed)
    known = DESCRIPTIONS[seed % 3 :] + [f"merchant {index}" for index in range(seed, seed + 300)]
    # Rounded numbers, so that many lie exactly on the edges of the buckets.
    balance = np.round(random.uniform(-10, 10 + drift, rows), 1)
    balance[:2] = (-10, 10)
    balance[2:20:6], balance[3:20:6], balance[4:20:6] = np.nan, np.inf, -np.inf
    columns = {
        "description": random.choice(
            np.array(known, dtype=object), rows, p=random.dirichlet(np.full(len(known), 0.3))
        ),
        "type": random.choice(
            np.array(["CARD", "TWINT", "TRANSFER"], dtype=object),
            rows,
            p=[0.6 - drift / 10, 0.3, 0.1 + drift / 10],
        ),
        "amount": random.gamma(2 + drift, 40, rows) * random.choice([-1, 1], rows, p=[0.9, 0.1]),
        "balance": balance,
        "constant": np.full(rows, 4.25),
        "whole": random.integers(-(10**6), 10**6, rows) * (seed % 2 + 1),
    }
    full = ("balance", "constant")
    return pa.table(
        {
            name: pa.array(column, mask=None if name in full else random.random(rows) < 0.07)
            for name, column in columns.items()
        }
    )


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=700)
    else:
        # Texts such as NULL and nan stand in quotes, and null is an empty cell.
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(table.column_names) + "\n")
            for row in table.to_pylist():
                cells = ("" if cell is None else csv_cell(cell) for cell in row.values())
                file.write(",".join(cells) + "\n")
    return path


def csv_cell(cell: object) -> str:
    return '"' + cell.replace('"', '""') + '"' if isinstance(cell, str) else repr(cell)


def present(table: pa.Table, name: str) -> np.ndarray:
    return np.array([cell for cell in table[name].to_pylist() if cell is not None])


def expected_l_infinity(baseline: pa.Table, target: pa.Table, name: str) -> float:
    shares = [
        pd.Series(present(side, name), dtype=object).value_counts(normalize=True)
        for side in (baseline, target)
    ]
    both = pd.concat(shares, axis=1).fillna(0.0)
    return float(chebyshev(both.iloc[:, 0], both.iloc[:, 1]))


def expected_divergence(baseline: pa.Table, target: pa.Table, name: str) -> float:
    sides = [present(side, name).astype(np.float64) for side in (baseline, target)]
    finite = [side[np.isfinite(side)] for side in sides]
    if all(len(set(side)) == 1 for side in finite):
        return float(finite[0][0] != finite[1][0])
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
    ("seeds", "rows", "drift"), [((2, 3), (3000, 40), 0.0), ((4, 6), (2000, 1500), 2.0)]
)
def test_distances_are_those_of_an_independent_computation(
    tmp_path: Path, suffix: str, seeds: tuple[int, int], rows: tuple[int, int], drift: float
) -> None:
    tables = [dataset(seeds[0], rows[0], 0.0), dataset(seeds[1], rows[1], drift)]
    baseline, target = (
        scan_statistics([write(table, tmp_path / f"{place}.{suffix}")], KINDS)
        for place, table in enumerate(tables)
    )
    assert (baseline.rows, target.rows) == rows
    for name, kind in KINDS.items():
        expect = expected_l_infinity if kind is FeatureKind.CATEGORICAL else expected_divergence
        found = compare_features(baseline, target, {name: 1.0})[0].distance or 0.0
        assert found == pytest.approx(expect(*tables, name), abs=1e-9), name
        if drift and name in ("description", "type", "amount"):
            assert found > 0.01, name


def test_values_on_edges_fall_into_the_buckets_of_numpy(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    columns = {}
    for seed in range(10):
        low, high = np.sort(random.normal(0, 10.0 ** random.integers(-3, 6), 2))
        edges = np.linspace(low, high, 11)
        neighbours = [np.nextafter(edges, low), np.nextafter(edges, high)]
        values = np.concatenate([edges, *neighbours, random.uniform(low, high, 50)])
        columns[str(seed)] = values.clip(low, high)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = scan_statistics([tmp_path / "a.parquet"], dict.fromkeys(columns)).features
    for name, values in columns.items():
        counts, edges = np.histogram(values, bins=10)
        statistics = found[name]
        assert isinstance(statistics, NumericalStatistics)
        assert (statistics.edges, statistics.counts) == (tuple(edges), tuple(counts))
