"""`transak-drift rollback`: back to an earlier version of a model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import dagster as dg
import typer
from filelock import FileLock, Timeout

from transak_drift.cli import output
from transak_drift.cli.approval import ByOption, name_person
from transak_drift.cli.dagster_home import dagster_home
from transak_drift.cli.output import JsonOption, ModelOption
from transak_drift.config.errors import sanitize_text
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import platform_resource
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.rollbacks import (
    is_finished,
    newest_rollback,
    require_no_training,
    write_baseline,
    write_rollback,
)
from transak_drift.platform import DriftPlatform, PlatformError, RestorableVersion
from transak_drift.settings import load_settings
from transak_drift.training.rollback import Rollback

_MAX_REASON_LENGTH = 500


def rollback(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As `status` shows it.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for those who read the history later.")
    ],
    by: ByOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier version of the model; its training data are the baseline again.

    Cut off at any point, the same command goes on. Done before, it changes nothing.
    """
    settings = load_settings()
    config = settings.load_config(model)
    reason = sanitize_text(" ".join(reason.split()))[:_MAX_REASON_LENGTH]
    if not reason:
        raise PlatformError("--reason is empty; say why, for those who read the history later")
    person = sanitize_text(name_person(by))
    platform = platform_resource(settings).open(config)
    home = dagster_home(settings.home)
    lock = FileLock(home / f"rollback_of_{config.model_monitor_id}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout as error:
        raise PlatformError("another rollback of this model runs; wait for its end") from error
    with held, dg.DagsterInstance.from_config(str(home)) as instance:
        done, is_new = _roll_back(instance, config, platform, version, reason, person)
    if as_json:
        output.print_json({"model": config.model_name, "is_new": is_new, **done.model_dump()})
        return
    output.print_line(f"{config.model_name}: {done.summary()}")
    if not is_new:
        output.print_line("this was recorded before; nothing new is recorded")
    output.print_line(
        f"version {version} predicts, and windows are compared with its training data; windows "
        f"until {done.undone_until:%Y-%m-%d %H:%M} UTC train by hand alone"
    )


def _roll_back(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    platform: DriftPlatform,
    version: str,
    reason: str,
    by: str,
) -> tuple[Rollback, bool]:
    """Begin a rollback or go on with the one that began; returns it, and whether it is new."""
    names = ModelNames.of(config)
    found = platform.find_restorable(config, version)
    begun = _begun(instance, names, found)
    if begun is None and found.champion == version:
        raise PlatformError(f"version {version} of {config.model_name} predicts already")
    if found.champion != version:
        require_no_training(instance, names)
    rollback = begun or Rollback(
        champion_before=found.champion,
        champion_after=version,
        by=by,
        at=datetime.now(UTC),
        reason=reason,
        undone_until=found.champion_trained_until,
        trained_until=found.trained_until,
    )
    if begun is None:
        write_rollback(instance, names, rollback)
        # What is requested from now on knows of the rollback; until then a tick may have had its
        # own look.
        require_no_training(instance, names)
    platform.restore(config, found)
    if not is_finished(instance, names, rollback):
        write_baseline(instance, config, rollback, found)
    return rollback, begun is None


def _begun(
    instance: dg.DagsterInstance, names: ModelNames, found: RestorableVersion
) -> Rollback | None:
    """Return the newest rollback if it is this one: cut off before its end, or done already."""
    newest = newest_rollback(instance, names)
    if newest is None or newest.champion_after != found.version:
        return None
    if found.champion == found.version:
        return newest
    is_cut_off = found.champion == newest.champion_before
    return newest if is_cut_off and not is_finished(instance, names, newest) else None
