"""The command `transak-drift`."""

from __future__ import annotations

import sys

import typer

from transak_drift.cli.backfill import backfill
from transak_drift.cli.compare import compare
from transak_drift.cli.compile_pipelines import compile_pipelines
from transak_drift.cli.config_command import config_app
from transak_drift.cli.dead_letters import dead_letters_app
from transak_drift.cli.demo import demo
from transak_drift.cli.dev import dev
from transak_drift.cli.doctor import doctor
from transak_drift.cli.notify_test import notify_test
from transak_drift.cli.output import print_error
from transak_drift.cli.publish_drift import publish_drift
from transak_drift.cli.status import status
from transak_drift.config.errors import ConfigError
from transak_drift.platform import PlatformError

app = typer.Typer(
    name="transak-drift",
    help="Watches the model transak-i1 for data drift and retrains it when drift is real.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo)
app.command("dev")(dev)
app.command("publish-drift")(publish_drift)
app.command("status")(status)
app.command("backfill")(backfill)
app.command("doctor")(doctor)
app.command("notify-test")(notify_test)
app.command("compare")(compare)
app.command("compile-pipelines")(compile_pipelines)
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(config_app, name="config")

USAGE_ERROR = 2


def main() -> None:
    """Run the command; a wrong configuration or request ends with its message and status 2."""
    try:
        app()
    except (ConfigError, PlatformError) as error:
        print_error(str(error))
        sys.exit(USAGE_ERROR)


if __name__ == "__main__":
    main()
