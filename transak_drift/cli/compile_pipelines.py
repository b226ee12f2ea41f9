"""`transak-drift compile-pipelines`: write the Vertex AI pipelines as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_line
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings


def compile_pipelines(
    output: Annotated[
        Path, typer.Option("--output", help="Directory for the files; made where missing.")
    ] = Path("compiled_pipelines"),
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the pipelines, with the configuration as their defaults."""
    config = load_settings().load_config(model)
    try:
        # The KFP SDK takes seconds to import, and only this command needs it.
        from transak_drift.pipelines import compilation

        files = compilation.compile_pipelines(config, output)
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
