"""Writes a benchmark's figures: a table for people, JSON for everything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
# Wide enough for every table, also where output goes to a file.
_CONSOLE = Console(width=150)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that the project promises, with its greatest value or else its least."""

    name: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps the promise."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    _CONSOLE.print(table)


def finish(
    name: str, machine: dict[str, Any], figures: Any, targets: Sequence[Target], *, store: bool
) -> int:
    """Print the targets, store everything, and return 0 where every target is met, else 1."""
    show_table(
        "Targets",
        ("target", "measured", "bound", "met"),
        [
            (
                target.name,
                f"{target.value:.3g}",
                f"{'<=' if target.at_most else '>='} {target.limit:g}",
                "yes" if target.is_met else "[red]no[/red]",
            )
            for target in targets
        ],
    )
    if store:
        RESULTS.mkdir(exist_ok=True)
        document = {
            "benchmark": name,
            "machine": machine,
            "targets": [{**asdict(target), "is_met": target.is_met} for target in targets],
            "figures": figures,
        }
        file = RESULTS / f"{name}.json"
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        _CONSOLE.print(f"written to {file}")
    return 0 if all(target.is_met for target in targets) else 1
