"""The command `transak-drift`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from transak_drift.cli.output import print_error, print_line
from transak_drift.config.errors import ConfigError
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings

# The module of each command.
COMMANDS = {
    "demo": "demo",
    "dev": "dev",
    "publish-drift": "messages",
    "explain": "messages",
    "status": "status",
    "approve": "approval",
    "decline": "approval",
    "labels": "labels",
    "backfill": "backfill",
    "rollback": "rollback",
    "doctor": "status",
    "notify-test": "status",
    "compare": "compare",
    "compile-pipelines": "config",
    "dead-letters": "messages",
    "config": "config",
}
USAGE_ERROR = 2


class _LazyCommands(TyperGroup):
    """Imports the module of the command that is called: Dagster alone takes seconds to import."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"transak_drift.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(command, typer.Typer):
            command_app = typer.Typer(add_completion=False)
            command_app.command(cmd_name)(command)
            command = command_app
        return typer.main.get_command(command)


app = typer.Typer(
    name="transak-drift",
    cls=_LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
        return f"Google Cloud: {type(error).__name__}: {text}; run `transak-drift doctor`"
    return None


if __name__ == "__main__":
    main()
