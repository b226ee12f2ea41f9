"""What the commands share: their options, tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from transak_drift.config.errors import sanitize_text
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.settings import Settings

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for scripts.")]

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Name of the model; needed where several are monitored."),
]

console = Console()
error_console = Console(stderr=True)


def chosen_configs(settings: Settings, model: str | None) -> tuple[MonitoringConfig, ...]:
    """Read the configuration of the model that `--model` names, or of every model."""
    return settings.load_configs() if model is None else (settings.load_config(model),)


def print_json(value: Any) -> None:
    """Write a value as JSON to standard output, dates as text.

    As ASCII no control character of somebody else's text reaches a terminal.
    """
    typer.echo(json.dumps(value, indent=2, default=str).replace("\x7f", "\\u007f"))


def print_line(text: str, style: str | None = None, to: Console = console) -> None:
    """Write a text as it is, to standard output."""
    to.print(sanitize_text(text), style=style, markup=False, highlight=False, soft_wrap=True)


print_note = partial(print_line, style="yellow", to=error_console)
print_error = partial(print_line, style="red", to=error_console)


def print_table(title: str, rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Write rows of the same keys, which head the columns, as a table; without rows `empty`."""
    if not rows:
        console.print(f"[bold]{escape(title)}[/]: {escape(empty)}")
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = ("-" if value is None else str(value) for value in row.values())
        table.add_row(*(escape(sanitize_text(cell)) for cell in cells))
    console.print(table)
