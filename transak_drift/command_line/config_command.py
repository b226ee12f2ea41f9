"""`transak-drift config`: check the configuration, write its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transak_drift.command_line.output import JsonOption, console, print_json
from transak_drift.core.config import config_json_schema, load_config
from transak_drift.settings import load_settings

config_app = typer.Typer(help="Check the configuration.", no_args_is_help=True)


@config_app.command("check")
def check(
    path: Annotated[
        Path | None, typer.Argument(help="The file; by default the one Dagster loads.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the configuration and tell every fault; status 2 where there is one."""
    config = load_config(path or load_settings().config)
    if as_json:
        print_json(config.model_dump(mode="json"))
        return
    console.print(f"{path or load_settings().config}: no fault", markup=False)


@config_app.command("schema")
def schema() -> None:
    """Write the JSON Schema of the configuration, for editors."""
    print_json(config_json_schema())
