"""`transak-drift demo`: the whole loop, for real: quiet days, drift, retraining, recovery."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from transak_drift.cli.dagster_services import on_stop_signal
from transak_drift.cli.demo_loop import DemoFailedError, DemoLoop, DemoReport
from transak_drift.cli.output import (
    JsonOption,
    console,
    error_console,
    print_error,
    print_json,
    print_line,
    print_table,
)
from transak_drift.settings import load_settings

QUIET_DAYS = 4
RECOVERY_DAYS = 2
_MARKER = "made-by-transak-drift-demo"


def demo(
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep what the demo made, to look at it.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run the loop end to end on the local platform; status 0 only if each step happened."""
    settings = load_settings()
    home = _fresh_directory(settings.home / "demo")
    first_day = datetime.now(UTC).date() - timedelta(days=QUIET_DAYS + 1 + RECOVERY_DAYS)
    drift_day = first_day + timedelta(days=QUIET_DAYS)
    environment = _demo_environment(home, drift_day)
    os.environ.update(environment)
    days = [first_day + timedelta(days=n) for n in range(QUIET_DAYS + 1 + RECOVERY_DAYS)]
    if not as_json:
        console.print(
            "[bold]transak-drift demo[/]: synthetic transactions, everything else is real "
            "(statistics, Pub/Sub, daemon, training)"
        )
    try:
        with on_stop_signal(_interrupt):
            report = _run(home, days, drift_day, quiet=as_json)
    except DemoFailedError as failure:
        print_error(f"demo failed: {failure}\nlogs: {home}")
        raise typer.Exit(1) from None
    if as_json:
        print_json(report.as_document())
    else:
        _print_report(report, home, keep)
    if not keep:
        shutil.rmtree(home)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _run(home: Path, days: list[date], drift_day: date, *, quiet: bool) -> DemoReport:
    target = Console(quiet=True) if quiet else error_console
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=target,
        transient=False,
    )
    with progress, DemoLoop(home, days, drift_day) as loop:
        for step in loop.steps():
            task = progress.add_task(step.title, total=1)
            detail = step.run()
            progress.update(task, completed=1, description=f"{step.title}: {detail}")
        return loop.report()


def _fresh_directory(directory: Path) -> Path:
    directory = directory.resolve()
    if directory.exists():
        if not (directory / _MARKER).exists():
            print_error(f"{directory} was not made by the demo; move it away first")
            raise typer.Exit(2)
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / _MARKER).touch()
    return directory


def _demo_environment(home: Path, drift_day: date) -> dict[str, str]:
    return {
        "TRANSAK_DRIFT_PLATFORM": "local",
        "TRANSAK_DRIFT_HOME": str(home),
        "TRANSAK_DRIFT_DRIFT_FROM": drift_day.isoformat(),
        "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "2",
        "DAGSTER_HOME": str(home / "dagster_home"),
    }


def _print_report(report: DemoReport, home: Path, keep: bool) -> None:
    rows: list[dict[str, Any]] = report.rows()
    print_table("Timeline", rows, "nothing happened")
    for sentence in report.sentences():
        print_line(f"  {sentence}")
    console.print("[bold green]the loop is closed: every step really happened[/]")
    if keep:
        print_line("look at it with", style="dim")
        print_line(dev_command(home))


def dev_command(home: Path) -> str:
    """Return a command line that shows what the demo made, also where nothing is on the PATH."""
    program = Path(sys.executable).with_name("transak-drift")
    variables = {"TRANSAK_DRIFT_HOME": home, "DAGSTER_HOME": home / "dagster_home"}
    settings = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
    return " ".join([*settings, shlex.quote(str(program)), "dev"])
