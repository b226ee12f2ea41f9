"""`transak-drift config`: check the configuration, write its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, console, print_json
from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import config_json_schema
from transak_drift.settings import load_settings

config_app = typer.Typer(help="Check the configuration.", no_args_is_help=True)


@config_app.command("check")
def check(
    path: Annotated[
        Path | None,
        typer.Argument(help="The file or folder; by default what Dagster loads."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the configuration of each model and tell every fault; status 2 where there is one."""
    named = path or load_settings().config
    configs = load_configs(named)
    if as_json:
        documents = [config.model_dump(mode="json") for config in configs]
        print_json(documents if len(documents) > 1 else documents[0])
        return
    for file, config in zip(config_files(named), configs, strict=True):
        console.print(f"{file}: {config.model_name}, no fault", markup=False)


@config_app.command("schema")
def schema() -> None:
    """Write the JSON Schema of the configuration, for editors."""
    print_json(config_json_schema())
