"""Loading the definitions, each time in a fresh process, beside Python and Dagster alone.

Run as `python -m benchmarks.definitions`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.report import Target, finish, show_table

REPOSITORY = Path(__file__).parents[1]
PROGRAMS = {
    "Python alone": "",
    "import dagster": "import dagster",
    "transak_drift.definitions": "import transak_drift.definitions",
    "with every job and sensor resolved": (
        "from transak_drift.definitions import defs; "
        "defs().get_repository_def().load_all_definitions()"
    ),
}
LOADED = "with every job and sensor resolved"


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    store: Annotated[bool, typer.Option(help="Write benchmarks/results.")] = True,
) -> None:
    """Measure the load time of the definitions."""
    machine = describe_machine("dagster")
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
            seconds[name].append(time.perf_counter() - started)
    dagster = min(seconds["import dagster"])
    show_table(
        f"Load time, {rounds} fresh processes each",
        ("", "fastest s", "slowest s", "x import dagster"),
        [
            (name, f"{min(times):.2f}", f"{max(times):.2f}", f"{min(times) / dagster:.2f}")
            for name, times in seconds.items()
        ],
    )
    targets = [Target("seconds to load the definitions, slowest", max(seconds[LOADED]), 3.0)]
    raise typer.Exit(finish("definitions", machine, seconds, targets, store=store))


if __name__ == "__main__":
    typer.run(main)
