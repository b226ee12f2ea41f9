"""`transak-drift config`: check the configuration, write its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, console, print_json
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig, config_json_schema
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
    """Read the configuration of each model, and the data that it names; status 2 with a fault."""
    named = path or load_settings().config
    configs = load_configs(named)
    data = [_check_data(config) for config in configs]
    if as_json:
        documents = [config.model_dump(mode="json") for config in configs]
        print_json(documents if len(documents) > 1 else documents[0])
        return
    for file, config, found in zip(config_files(named), configs, data, strict=True):
        console.print(f"{file}: {config.model_name}, no fault", markup=False)
        if found:
            console.print(f"{config.transactions}: {found}", markup=False, soft_wrap=True)


def _check_data(config: MonitoringConfig) -> str:
    if config.transactions is None:
        return ""
    from transak_drift.local.dataset_files import DatasetError
    from transak_drift.local.own_transactions import check_transactions

    try:
        return check_transactions(config)
    except DatasetError as error:
        fault = ConfigFault("transactions", config.transactions, error.problem, error.fix)
        raise ConfigError("the configuration", [fault]) from None


@config_app.command("schema")
def schema() -> None:
    """Write the JSON Schema of the configuration, for editors."""
    print_json(config_json_schema())
