"""The command `transak-drift`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.backfill import backfill
from transak_drift.cli.compare import compare
from transak_drift.cli.compile_pipelines import compile_pipelines
from transak_drift.cli.config_command import config_app
from transak_drift.cli.dead_letters import dead_letters_app
from transak_drift.cli.demo import demo
from transak_drift.cli.dev import dev
from transak_drift.cli.doctor import doctor
from transak_drift.cli.explain import explain
from transak_drift.cli.notify_test import notify_test
from transak_drift.cli.output import print_error, print_line
from transak_drift.cli.publish_drift import publish_drift
from transak_drift.cli.status import status
from transak_drift.config.errors import ConfigError
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings

app = typer.Typer(
    name="transak-drift",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
USAGE_ERROR = 2


def _print_version(asked: bool) -> None:
    if asked:
        print_line(f"transak-drift {version('transak-drift')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Watches the model transak-i1 for data drift and retrains it when drift is real."""


app.command("demo")(demo)
app.command("dev")(dev)
app.command("publish-drift")(publish_drift)
app.command("explain")(explain)
app.command("status")(status)
app.command("backfill")(backfill)
app.command("doctor")(doctor)
app.command("notify-test")(notify_test)
app.command("compare")(compare)
app.command("compile-pipelines")(compile_pipelines)
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(config_app, name="config")


def main() -> None:
    """Run the command; what a person can correct ends with one sentence and status 2."""
    try:
        app()
    except Exception as error:
        problem = _problem(error)
        if problem is None:
            raise
        print_error(problem)
        sys.exit(USAGE_ERROR)


def _problem(error: Exception) -> str | None:
    """Say what is wrong and how to fix it; None where the fault is in this program."""
    if isinstance(error, ConfigError | PlatformError):
        return str(error)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        path, home = Path(error.filename).absolute(), load_settings().home.absolute()
        if path == home or home in path.parents:
            return (
                f"TRANSAK_DRIFT_HOME = {str(home)!r} cannot be used: {path}: {error.strerror}; "
                "name a directory that can be made and written"
            )
        return f"{path}: {error.strerror}"
    # Google's packages take seconds to import, and most commands do without.
    if type(error).__module__.startswith(("google.api_core.", "google.auth.")):
        text = str(error).strip().partition("\n")[0]
        return f"Google Cloud: {type(error).__name__}: {text}; `transak-drift doctor` finds gaps"
    return None


if __name__ == "__main__":
    main()
