"""`transak-drift approve` and `decline`: a person decides a drift event that awaits approval."""

from __future__ import annotations

import getpass
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import dagster as dg
import typer

from transak_drift.cli import output
from transak_drift.cli.dagster_home import dagster_home
from transak_drift.cli.output import JsonOption, ModelOption
from transak_drift.defs.approval import decide_event
from transak_drift.platform import PlatformError
from transak_drift.settings import Settings, load_settings
from transak_drift.trigger.approval import Decision, UndecidableError

EventArgument = Annotated[
    str,
    typer.Argument(
        metavar="EVENT",
        help="Key of the drift event, id of its monitoring job, or `newest`.",
    ),
]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who decides; by default the operating-system user.")
]


def approve(
    event: EventArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who read it later.")] = "",
    by: ByOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a drift event that awaits approval train; its training answers the older ones as well.

    Where a newer event of the model waits, that one is approved. The status is 1 where there is
    nothing to decide, or somebody was faster.
    """
    _decide(event, Decision.approve, reason, by, model, as_json)


def decline(
    event: EventArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who read it later.")],
    by: ByOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a drift event that awaits approval or labels, and the older ones, never train.

    The status is 1 where there is nothing to decide, or somebody was faster.
    """
    _decide(event, Decision.decline, reason, by, model, as_json)


def _decide(
    event: str, decision: Decision, reason: str, by: str | None, model: str | None, as_json: bool
) -> None:
    settings = load_settings()
    configs = output.chosen_configs(settings, model)
    try:
        with open_instance(settings) as instance:
            records = decide_event(instance, configs, event, decision, reason, name_person(by))
    except UndecidableError as error:
        output.print_error(str(error))
        raise typer.Exit(1) from None
    if as_json:
        fields = {"key", "kind", "at", "by", "reason"}
        output.print_json([record.model_dump(mode="json", include=fields) for record in records])
        return
    for record in records:
        drift = f" ({record.event.summary()})" if record.event else ""
        output.print_line(f"{record.kind}: {record.key}{drift}, {record.detail}")
    if decision == Decision.decline:
        output.print_line("it is answered, and does not train")
        return
    if event not in (records[0].key, records[0].key.partition("/")[2], "newest"):
        output.print_line(f"{event} is older: this training answers it as well")
    output.print_line("drift_message_sensor requests its training at the next tick")


@contextmanager
def open_instance(settings: Settings) -> Generator[dg.DagsterInstance]:
    """Open Dagster's instance; what its storage raises becomes a `PlatformError`."""
    home = dagster_home(settings.home)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance
    except (PlatformError, UndecidableError):
        raise
    except Exception as error:  # Any database's own.
        text = str(error).strip().partition("\n")[0]
        problem = f"the storage of {home} cannot be used: {type(error).__name__}: {text}"
        raise PlatformError(f"{problem}; try again once it can") from error


def name_person(by: str | None) -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    return f"{by.strip()} (system user {user})" if by and by.strip() else user
