"""How commands write: tables for people, JSON for scripts, errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for scripts.")]

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Name of the model; needed where several are monitored."),
]

console = Console()
error_console = Console(stderr=True)


def print_json(value: Any) -> None:
    """Write a value as JSON to standard output, dates as text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


def print_line(text: str, style: str | None = None) -> None:
    """Write a line to standard output, as it is."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def print_note(message: str) -> None:
    """Write a message that stops nothing to standard error, as it is."""
    error_console.print(message, style="yellow", markup=False, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Write a message to standard error, as it is."""
    error_console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)


def print_table(title: str, rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Write rows as a table.

    Args:
        title: stands above the table.
        rows: the rows, all with the same keys, which head the columns.
        empty: the sentence that stands in place of a table without rows.
    """
    if not rows:
        console.print(f"[bold]{escape(title)}[/]: {escape(empty)}")
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape("-" if value is None else str(value)) for value in row.values()))
    console.print(table)
