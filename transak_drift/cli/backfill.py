"""`transak-drift backfill`: monitors past days, and tells when drift began."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

import dagster as dg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from transak_drift.cli.backfill_days import (
    DaysToMonitor,
    asked_days,
    days_to_monitor,
)
from transak_drift.cli.backfill_runs import BackfillError, BackfillRuns, MonitoredDay
from transak_drift.cli.dagster_home import dagster_home
from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    console,
    error_console,
    print_error,
    print_json,
)
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.keys import (
    ModelNames,
)
from transak_drift.drift.drift_history import DriftHistory
from transak_drift.settings import load_settings

FAILED = 1
# As a shell reports a process that SIGINT ended.
INTERRUPTED = 130

_DAY = ["%Y-%m-%d"]


@dataclass(slots=True)
class _Backfill:
    """What a backfill did."""

    config: MonitoringConfig
    days: DaysToMonitor
    monitored: list[MonitoredDay] = field(default_factory=list)
    history: DriftHistory | None = None
    interrupted: bool = False

    @property
    def failed(self) -> list[MonitoredDay]:
        return [day for day in self.monitored if day.error]

    @property
    def awaited(self) -> list[date]:
        started = [day.day for day in self.monitored if not day.error and day.report is None]
        return [*self.days.awaited, *started]

    @property
    def messages(self) -> int:
        return sum(day.message is not None for day in self.monitored)


def backfill(
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, help="How many days up to the last; by default 60."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=_DAY, help="The last day; by default yesterday (UTC)."),
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=_DAY, help="The first day, in place of --days."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also the days that have a report already.")
    ] = False,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Monitor past days, one Dagster run each, and tell when drift of each feature began."""
    settings = load_settings()
    config = settings.load_config(model)
    asked = asked_days(
        config,
        first=first.date() if first else None,
        last=until.date() if until else None,
        number=days,
        today=datetime.now(UTC).date(),
    )
    instance = dg.DagsterInstance.from_config(str(dagster_home(settings.home)))
    try:
        done = _Backfill(
            config,
            days_to_monitor(
                instance,
                ModelNames.of(config),
                asked,
                again=again,
                results_follow=settings.platform == "gcp",
            ),
        )
        runs = BackfillRuns(settings, config, instance, f"{asked[0]}..{asked[-1]}")
        _run(runs, done)
    except BackfillError as error:
        print_error(str(error))
        raise typer.Exit(FAILED) from None
    finally:
        instance.dispose()
    if as_json:
        print_json(_document(done))
    else:
        _print(done)
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)
    if done.failed:
        raise typer.Exit(FAILED)


def _run(runs: BackfillRuns, done: _Backfill) -> None:
    try:
        if done.days.due:
            runs.prepare()
        with _DayProgress(len(done.days.due)) as progress:
            for day in done.days.due:
                outcome = runs.monitor(day)
                done.monitored.append(outcome)
                progress.tell(_sentence(outcome))
        done.history = runs.refresh_history()
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        done.interrupted = True


class _DayProgress:
    """Tells of each day: a bar on a terminal, a line a day elsewhere."""

    def __init__(self, number: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=error_console,
            disable=not error_console.is_terminal,
        )
        self._task = self._bar.add_task("days", total=number)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, sentence: str) -> None:
        self._bar.update(self._task, advance=1, description=sentence)
        if not error_console.is_terminal:
            error_console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _sentence(outcome: MonitoredDay) -> str:
    if outcome.error:
        return f"{outcome.day} failed"
    if outcome.report is None:
        return f"{outcome.day} its monitoring job runs"
    distances = ", ".join(feature.summary() for feature in outcome.report.result.features)
    return f"{outcome.day} {distances}"


def _print(done: _Backfill) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    monitored = sum(day.report is not None for day in done.monitored)
    say(
        f"{done.config.model_name}: {monitored} day(s) monitored, {len(done.days.reported)} left "
        f"out (they have a report: --again monitors them again), {len(done.failed)} failed"
    )
    if done.messages:
        say(
            f"{done.messages} drift message(s) published: of those that wait for a training, the "
            "newest day is next, and it answers the days before it as well"
        )
    if done.awaited:
        say(
            f"{len(done.awaited)} monitoring job(s) are awaited: monitoring_results_sensor records "
            "their reports when they end"
        )
    if done.history is not None and not done.history.days:
        say("no day has a report yet")
    elif done.history is not None:
        for feature in done.config.drift_thresholds:
            say(done.history.summary(feature))
    for day in done.failed:
        print_error(f"{day.day} failed (run {day.run_id}): {day.error}")
    if done.interrupted:
        left = len(done.days.due) - len(done.monitored)
        print_error(f"interrupted, {left} day(s) are left: the same command goes on with them")


def _document(done: _Backfill) -> dict[str, Any]:
    document: dict[str, Any] = {
        "model": done.config.model_name,
        "monitored": [
            {
                "day": day.day,
                "run_id": day.run_id,
                "drift_message": day.message,
                "error": day.error or None,
                "features": []
                if day.report is None
                else [
                    {
                        "feature": found.feature,
                        "distance": found.distance,
                        "threshold": found.threshold,
                        "drifted": found.drifted,
                    }
                    for found in day.report.result.features
                ],
            }
            for day in done.monitored
        ],
        "left_out": list(done.days.reported),
        "awaited": done.awaited,
        "failed": [day.day for day in done.failed],
        "interrupted": done.interrupted,
    }
    if done.history is not None:
        document["history"] = [
            {
                "feature": feature,
                "summary": done.history.summary(feature),
                "episodes": [
                    {
                        "from": episode.onset.day,
                        "to": episode.last.day,
                        "peak": episode.peak.distance,
                        "peak_day": episode.peak.day,
                        "ongoing": episode.ongoing,
                    }
                    for episode in done.history.episodes(feature)
                ],
            }
            for feature in done.config.drift_thresholds
        ]
    return document
