"""`transak-drift config` and `compile-pipelines`: check the configuration, write what it gives."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_line
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig, config_json_schema
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings
from transak_drift.trigger.sink_filter import model_monitor_pattern

TERRAFORM_KEYS = {
    "project_id",
    "project_number",
    "location",
    "model_name",
    "model_monitor_id",
    "log_anomalies",
    "notification_channels",
    "training_pipeline",
    "trigger_topic",
    "trigger_subscription",
    "dead_letter_topic",
    "dead_letter_subscription",
}
TERRAFORM_VERTEX_KEYS = {"pipeline_template", "monitoring_output"}

PathArgument = Annotated[
    Path | None, typer.Argument(help="The file or folder; by default what Dagster loads.")
]

config = typer.Typer(help="Check the configuration.", no_args_is_help=True)


@config.command("check")
def check(path: PathArgument = None, as_json: JsonOption = False) -> None:
    """Read the configuration of each model, and the data that it names; status 2 with a fault."""
    settings = load_settings()
    named = path or settings.config
    configs = settings.model_copy(update={"config": named}).load_configs()
    data = [_check_data(config) for config in configs]
    if as_json:
        documents = [config.model_dump(mode="json") for config in configs]
        print_json(documents if len(documents) > 1 else documents[0])
        return
    for file, config, found in zip(config_files(named), configs, data, strict=True):
        print_line(f"{file}: {config.model_name}, no fault")
        if found:
            print_line(f"{config.transactions}: {found}")


def _check_data(config: MonitoringConfig) -> str:
    if config.transactions is None:
        return ""
    # DuckDB and numpy are read by the check of own data alone.
    from transak_drift.local.dataset_files import DatasetError
    from transak_drift.local.file_transactions import check_transactions

    try:
        return check_transactions(config)
    except DatasetError as error:
        fault = ConfigFault("transactions", config.transactions, error.problem, error.fix)
        raise ConfigError("the configuration", [fault]) from None


@config.command("schema")
def schema() -> None:
    """Write the JSON Schema of the configuration, for editors."""
    print_json(config_json_schema())


@config.command("terraform")
def terraform(
    path: PathArgument = None,
    output: Annotated[
        Path,
        typer.Option(help="A .tfvars.json file in the directory of the Terraform configuration."),
    ] = Path("terraform/models.auto.tfvars.json"),
) -> None:
    """Write the validated values of each model for Terraform, which plans with them."""
    variables = terraform_variables(path or load_settings().config, output.parent)
    try:
        output.write_text(json.dumps(variables, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        fix = "name a file in the directory of the Terraform configuration"
        fault = ConfigFault("--output", str(output), problem, fix)
        raise ConfigError("the command", [fault]) from None
    for model in variables["models"]:
        print_line(f"{output}: {model['model_name']}")


def terraform_variables(path: Path, directory: Path) -> dict[str, Any]:
    """Return the variables of the Terraform that runs in a directory, for the models of a path.

    Beside a model's values stands the SHA-256 of its file, so that Terraform can refuse values of
    an older file.
    """

    def from_directory(file: Path) -> str:
        return Path(os.path.relpath(file.resolve(), directory.resolve())).as_posix()

    models = [
        {
            "file": from_directory(file),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            **model.model_dump(mode="json", include=TERRAFORM_KEYS),
            **model.vertex.model_dump(mode="json", include=TERRAFORM_VERTEX_KEYS),
            "model_monitor_pattern": model_monitor_pattern(
                model.model_monitor_id, model.further_model_monitor_ids
            ),
        }
        for file, model in zip(config_files(path), load_configs(path), strict=True)
    ]
    return {"config_path": from_directory(path), "models": models}


def compile_pipelines(
    output: Annotated[
        Path, typer.Option("--output", help="Directory for the files; made where missing.")
    ] = Path("compiled_pipelines"),
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the pipelines, with the configuration as their defaults."""
    try:
        # The KFP SDK takes seconds to import, and only this command needs it.
        from transak_drift.pipelines import compilation

        files = compilation.compile_pipelines(load_settings().load_config(model), output)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "kfp":
            raise
        problem = "the KFP SDK is not installed; run pip install 'transak-drift[pipelines]'"
        raise PlatformError(problem) from error
    except OSError as error:
        problem = f"--output {output}: {error.strerror}; name a directory that can be written"
        raise PlatformError(problem) from error
    if as_json:
        print_json([str(file) for file in files])
        return
    for file in files:
        print_line(f"{file} written")
