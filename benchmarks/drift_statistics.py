"""Drift between two files: this project, its peers, and the mere read of the columns.

Run as `python -m benchmarks.drift_statistics`. The baseline has a million rows, the target 1, 10
and 100 million. Each round of each contender is a process of its own; its fastest round counts.
A peer that runs out of memory or time is reported as such.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.contenders.transak_drift_stored import KINDS, stored_statistics
from benchmarks.environments import EnvironmentUnavailableError, peer_python
from benchmarks.machine import describe_machine
from benchmarks.report import Target, finish, show_table
from benchmarks.transactions_file import write_transactions
from transak_drift.local.dataset_statistics import save_statistics, scan_statistics

REPOSITORY = Path(__file__).parents[1]
BASELINE_ROWS = 1_000_000
STORED, BOTH, READ, READ_BOTH, FOLD = (
    "transak_drift_stored",
    "transak_drift_both",
    "duckdb_read",
    "duckdb_read_both",
    "duckdb_fold",
)
OWN = (STORED, BOTH, READ, READ_BOTH, FOLD)
PEERS = {
    "pandas_scipy": "pandas_scipy",
    "evidently_report": "evidently",
    "tensorflow_data_validation": "tensorflow_data_validation",
}
LABELS = {
    STORED: "transak_drift, stored baseline",
    BOTH: "transak_drift, both files scanned",
    READ: "limit: DuckDB delivers the target's columns",
    READ_BOTH: "limit: DuckDB delivers both files' columns",
    FOLD: "DuckDB folds the target's columns, delivers nothing",
    "pandas_scipy": "pandas + SciPy",
    "evidently_report": "Evidently",
    "tensorflow_data_validation": "TensorFlow Data Validation",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A contender's fastest round; added memory is what it took beyond the imported libraries."""

    seconds: float
    peak_memory_bytes: int
    added_memory_bytes: int
    distances: dict[str, float]
    rounds: list[float]

    @classmethod
    def of(cls, outcomes: list[dict[str, Any]]) -> Measured:
        """Sum up the rounds: the least time, the greatest memory."""
        best = min(outcomes, key=lambda outcome: outcome["seconds"])
        return cls(
            seconds=best["seconds"],
            peak_memory_bytes=max(outcome["peak_memory_bytes"] for outcome in outcomes),
            added_memory_bytes=max(outcome["added_memory_bytes"] for outcome in outcomes),
            distances=best["distances"],
            rounds=[outcome["seconds"] for outcome in outcomes],
        )


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Seconds of a round and bytes of data that a peer may use before it is given up."""

    seconds: float
    memory_bytes: int


class ContenderFailedError(Exception):
    """A contender gave no figure; the message says why."""


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Rows of the target.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    peers: Annotated[list[str] | None, typer.Option(help="Peers to run; default all.")] = None,
    most_peer_rows: Annotated[int, typer.Option(help="Peers stop at so many rows.")] = 10_000_000,
    peer_timeout: Annotated[float, typer.Option(help="Seconds a peer has.")] = 600.0,
    peer_memory_gigabytes: Annotated[float, typer.Option()] = 16.0,
    store: Annotated[bool, typer.Option(help="Write benchmarks/results.")] = True,
) -> None:
    """Measure drift statistics."""
    machine = describe_machine("duckdb", "pyarrow", "numpy")
    pythons, notes = _pythons(list(PEERS) if peers is None else peers)
    figures: dict[str, Any] = {"baseline_rows": BASELINE_ROWS, "notes": notes, "by_rows": {}}
    found: dict[int, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory(prefix="transak-drift-benchmark-") as temporary:
        directory = Path(temporary)
        baseline, small = directory / "baseline.parquet", directory / "small.parquet"
        write_transactions(baseline, BASELINE_ROWS, seed=1)
        write_transactions(small, 1_000, seed=2)
        for file in (baseline, small):
            scanned = scan_statistics([file], KINDS, is_baseline=True)
            save_statistics(stored_statistics(file), scanned)
        for count in rows or [1_000_000, 10_000_000, 100_000_000]:
            target = directory / "target.parquet"
            write_transactions(target, count, seed=3, drift=0.1)
            files = [str(file) for file in (baseline, target, small, small)]
            found[count] = _take_turns(
                {name: Path(sys.executable) for name in OWN}, files, rounds, notes, limits=None
            )
            if count <= most_peer_rows:
                limits = PeerLimits(peer_timeout, int(peer_memory_gigabytes * 1e9))
                found[count] |= _take_turns(
                    pythons, files, 2 if count <= BASELINE_ROWS else 1, notes, limits
                )
            else:
                notes.append(f"the peers were not run on {count:,} rows")
            _show(count, target.stat().st_size, found[count])
            figures["by_rows"][count] = {
                "file_bytes": target.stat().st_size,
                **{name: _as_json(item) for name, item in found[count].items()},
            }
            target.unlink()
    for note in notes:
        typer.echo(note)
    raise typer.Exit(finish("drift_statistics", machine, figures, _targets(found), store=store))


def _pythons(peers: list[str]) -> tuple[dict[str, Path], list[str]]:
    pythons: dict[str, Path] = {}
    notes: list[str] = []
    for name in peers:
        try:
            pythons[name] = peer_python(PEERS[name])
        except EnvironmentUnavailableError as error:
            notes.append(f"{LABELS[name]} was skipped: {error}")
    return pythons, notes


def _take_turns(
    pythons: dict[str, Path],
    files: list[str],
    rounds: int,
    notes: list[str],
    limits: PeerLimits | None,
) -> dict[str, Measured]:
    """Run all contenders, round after round; one that fails is noted and left out."""
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    for _ in range(rounds):
        for name in list(outcomes):
            try:
                outcomes[name].append(_run(pythons[name], name, files, limits))
            except ContenderFailedError as error:
                notes.append(f"{LABELS[name]}: {error}")
                del outcomes[name]
    return {name: Measured.of(items) for name, items in outcomes.items()}


def _run(python: Path, name: str, files: list[str], limits: PeerLimits | None) -> dict[str, Any]:
    def limit_memory() -> None:
        if limits is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))

    try:
        done = subprocess.run(
            [str(python), "-W", "ignore", "-m", f"benchmarks.contenders.{name}", *files],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=limits.seconds if limits else None,
            preexec_fn=limit_memory,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ContenderFailedError(f"did not end within {error.timeout:g} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        raise ContenderFailedError(f"failed with status {done.returncode}: {last[:200]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _as_json(item: Measured) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Measured.__slots__}


def _show(rows: int, file_bytes: int, found: dict[str, Measured]) -> None:
    limit = found[READ].seconds
    show_table(
        f"{rows:,} rows in the target ({file_bytes / 1e6:,.0f} MB), {BASELINE_ROWS:,} in the "
        "baseline",
        ("", "seconds", "x limit", "process MB", "added MB", "description", "type", "amount"),
        [
            (
                LABELS[name],
                f"{item.seconds:.3f}",
                f"{item.seconds / limit:.2f}",
                f"{item.peak_memory_bytes / 1e6:,.0f}",
                f"{item.added_memory_bytes / 1e6:,.0f}",
                *(
                    f"{item.distances[feature]:.6f}" if feature in item.distances else ""
                    for feature in KINDS
                ),
            )
            for name, item in found.items()
        ],
    )


def _targets(found: dict[int, dict[str, Measured]]) -> list[Target]:
    targets = []
    for rows, by_name in found.items():
        stored, read = by_name[STORED], by_name[READ]
        targets.append(
            Target(f"{rows:,} rows: time / mere read", stored.seconds / read.seconds, 1.5)
        )
    first = found[min(found)]
    if "evidently_report" in first:
        evidently, both = first["evidently_report"], first[BOTH]
        targets += [
            Target(
                f"{min(found):,} rows: Evidently's time / ours, both files scanned",
                evidently.seconds / both.seconds,
                20,
                at_most=False,
            ),
            Target(
                f"{min(found):,} rows: memory added by the comparison / Evidently's",
                both.added_memory_bytes / evidently.added_memory_bytes,
                0.1,
            ),
            Target(
                f"{min(found):,} rows: memory of the process / Evidently's",
                both.peak_memory_bytes / evidently.peak_memory_bytes,
                0.1,
            ),
        ]
    sizes = sorted(found)
    if len(sizes) > 1:
        largest, middle = sizes[-1], sizes[-2]
        targets += [
            Target(
                f"memory of the process, {largest:,} / {middle:,} rows",
                found[largest][STORED].peak_memory_bytes / found[middle][STORED].peak_memory_bytes,
                1.1,
            ),
            Target(
                f"time a row, {largest:,} / {sizes[0]:,} rows",
                (found[largest][STORED].seconds / largest)
                / (found[sizes[0]][STORED].seconds / sizes[0]),
                1.1,
            ),
        ]
    return targets


if __name__ == "__main__":
    typer.run(main)
