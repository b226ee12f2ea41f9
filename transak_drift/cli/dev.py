"""`transak-drift dev`: the Dagster UI with everything up, and a history that stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.dagster_home import dagster_home, write_workspace
from transak_drift.cli.output import console
from transak_drift.settings import load_settings


def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
) -> None:
    """Start the Dagster UI, daemon and code location; on local also the embedded Pub/Sub."""
    settings = load_settings()
    settings.load_configs()
    home = dagster_home(settings.home)
    console.print(f"Dagster UI: http://{host}:{port}   (stop with Ctrl-C)", markup=False)
    console.print(f"history and data: {settings.home.resolve()}", markup=False)
    command = [
        str(Path(sys.executable).with_name("dagster")),
        "dev",
        "--workspace",
        str(write_workspace(settings.home)),
        "--host",
        host,
        "--port",
        str(port),
    ]
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    try:
        raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
