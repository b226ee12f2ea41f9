"""`transak-drift backfill`: monitors past days, and says when drift began.

The days are runs of the daily job on the user's own Dagster instance, some days each, as Dagster's
own backfill makes them; no daemon is needed for these.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import dagster as dg
import typer
from rich.progress import MofNCompleteColumn, Progress

from transak_drift.cli import output
from transak_drift.cli.dagster_home import dagster_home, on_stop_signal
from transak_drift.cli.model_jobs import CommandFailedError, ModelJobs, MonitoredDay
from transak_drift.cli.output import JsonOption, ModelOption, error_console
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs import keys
from transak_drift.defs.history import history_read_until
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import newest_materialization
from transak_drift.defs.recorded_reports import newest_record, read_drift_history
from transak_drift.drift.drift_history import DriftHistory
from transak_drift.settings import load_settings

DEFAULT_DAYS = 60
BACKFILL_TAG = "transak_drift/backfill"
FAILED = 1
# As a shell reports a process that SIGINT ended.
INTERRUPTED = 130

_DAY = ["%Y-%m-%d"]
_ONE_DAY = timedelta(days=1)


class DaysToMonitor(NamedTuple):
    """The days of a backfill: due, left out with a report, and left out as their report follows."""

    due: list[date]
    reported: list[date]
    awaited: list[date]


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
    """Monitor past days, and show when drift of each feature began."""
    settings = load_settings()
    config = settings.load_config(model)
    asked = asked_days(
        config,
        first=first.date() if first else None,
        last=until.date() if until else None,
        number=days,
        today=datetime.now(UTC).date(),
    )
    names = ModelNames.of(config)
    with dg.DagsterInstance.from_config(str(dagster_home(settings.home))) as instance:
        chosen = days_to_monitor(
            instance, names, asked, again=again, results_follow=settings.platform == "gcp"
        )
        tags = {BACKFILL_TAG: f"{asked[0]}..{asked[-1]}"}
        jobs = ModelJobs(instance, build_definitions(settings, [config]), config, tags)
        applied = platform_resource(settings).open(config).overview(config).model_monitor
        try:
            monitored, is_interrupted = _run(jobs, chosen.due, is_prepared=applied is not None)
        except CommandFailedError as error:
            output.print_error(str(error))
            raise typer.Exit(FAILED) from None
        history = read_drift_history(instance, names)
    document = _document(config, chosen, monitored, history, is_interrupted)
    if as_json:
        output.print_json(document)
    else:
        _print(document)
    if is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if document["failed"]:
        raise typer.Exit(FAILED)


def _run(jobs: ModelJobs, due: list[date], *, is_prepared: bool) -> tuple[list[MonitoredDay], bool]:
    """Monitor the days; returns what became of them, and whether a signal ended it early."""
    bar = Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=error_console,
        disable=not error_console.is_terminal,
    )
    monitored: list[MonitoredDay] = []
    stopped = threading.Event()
    # Dagster handles signals in the main thread, where one would break a run off.
    with on_stop_signal(lambda *_: stopped.set()), ThreadPoolExecutor(1) as worker, bar:
        task = bar.add_task("days", total=len(due))
        if due and not is_prepared:
            worker.submit(jobs.run, keys.PREPARE_JOB).result()
        for days in _ranges(due):
            if stopped.is_set():
                return monitored, True
            for day in worker.submit(jobs.monitor, days).result():
                monitored.append(day)
                output.print_line(f"{day.day} {day.summary()}", to=error_console)
                bar.advance(task)
        names = jobs.names
        if newest_record(jobs.instance, names) > history_read_until(jobs.instance, names):
            worker.submit(jobs.run, keys.DRIFT_HISTORY_JOB).result()
    return monitored, False


def _ranges(days: list[date]) -> list[list[date]]:
    """Split days into ranges without a gap, each for one run."""
    ranges: list[list[date]] = []
    for day in days:
        newest = ranges[-1] if ranges else []
        if newest and len(newest) < keys.MAX_DAYS_PER_RUN and day - newest[-1] == _ONE_DAY:
            newest.append(day)
        else:
            ranges.append([day])
    return ranges


def asked_days(
    config: MonitoringConfig,
    *,
    first: date | None,
    last: date | None,
    number: int | None,
    today: date,
) -> list[date]:
    """Return the days that are asked for, in order, at least one; refuse what cannot be."""
    yesterday = today - _ONE_DAY
    end = last or yesterday
    if end > yesterday:
        fix = f"ask for days up to {yesterday} (UTC)"
        raise _refused("--until", end, "is not over yet", fix)
    if end < config.start_date:
        fix = f"ask for a day from {config.start_date} on, or set an earlier start_date"
        raise _refused("--until", end, f"is before start_date ({config.start_date})", fix)
    if first is not None and number is not None:
        raise _refused("--days", number, "is given together with --from", "give one of them")
    begin = first or end - timedelta(days=(number or DEFAULT_DAYS) - 1)
    option, value = ("--from", first) if first else ("--days", number or DEFAULT_DAYS)
    if begin > end:
        raise _refused(option, value, f"is after the last day, {end}", "turn the two days round")
    if begin < config.start_date:
        problem = f"begins on {begin}, before start_date ({config.start_date})"
        possible = f"--days {(end - config.start_date).days + 1} or --from {config.start_date}"
        fix = f"ask for {possible}, or set an earlier start_date in the configuration"
        raise _refused(option, value, problem, fix)
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


def days_to_monitor(
    instance: dg.DagsterInstance,
    names: ModelNames,
    days: list[date],
    *,
    again: bool,
    results_follow: bool,
) -> DaysToMonitor:
    """Leave out the days that have a report, or whose report follows as on gcp.

    Elsewhere a day with a start and no report was interrupted, and is due.
    """
    if again:
        return DaysToMonitor(days, [], [])
    reported = instance.get_materialized_partitions(names.asset(keys.DRIFT_REPORT))
    awaited: set[str] = set()
    if results_follow:
        started = instance.get_materialized_partitions(names.asset(keys.MONITORING_RUN)) - reported
        awaited = {key for key in started if not _has_failed(instance, names, key)}
    return DaysToMonitor(
        due=[day for day in days if str(day) not in reported | awaited],
        reported=[day for day in days if str(day) in reported],
        awaited=[day for day in days if str(day) in awaited],
    )


def _has_failed(instance: dg.DagsterInstance, names: ModelNames, partition: str) -> bool:
    """Return whether the sensor has recorded that the newest job of a day gave no result."""
    chosen = dg.AssetRecordsFilter(names.asset(keys.DRIFT_REPORT), asset_partitions=[partition])
    failures = instance.fetch_observations(chosen, limit=1).records
    started = newest_materialization(instance, names.asset(keys.MONITORING_RUN), partition)
    observed = failures[0].asset_observation if failures else None
    if observed is None or started is None:
        return False
    name = keys.JOB_NAME_METADATA
    return observed.metadata.get(name) == started.metadata.get(name)


def _refused(option: str, value: object, problem: str, fix: str) -> ConfigError:
    return ConfigError("the command", [ConfigFault(option, value, problem, fix)])


def _print(document: dict[str, Any]) -> None:
    say = output.print_line
    monitored, failed, awaited = (document[key] for key in ("monitored", "failed", "awaited"))
    reported = sum(bool(day["features"]) for day in monitored)
    messages = sum(day["drift_message"] is not None for day in monitored)
    say(
        f"{document['model']}: {reported} day(s) monitored, {len(document['left_out'])} left out "
        f"(they have a report: --again monitors them again), {len(failed)} failed"
    )
    if messages:
        say(
            f"{messages} drift message(s) published: of those that wait for a training, the "
            "newest day is next, and it answers the days before it as well"
        )
    if awaited:
        say(
            f"{len(awaited)} monitoring job(s) are awaited: monitoring_results_sensor records "
            "their reports when they end"
        )
    for feature in document["history"]:
        say(feature["summary"])
    if not document["history"]:
        say("no day has a report yet")
    for day in monitored:
        if day["error"]:
            output.print_error(f"{day['day']} failed (run {day['run_id']}): {day['error']}")
    if document["interrupted"]:
        output.print_error(
            f"interrupted, {document['left']} day(s) are left: the same command goes on with them"
        )


def _document(
    config: MonitoringConfig,
    days: DaysToMonitor,
    monitored: list[MonitoredDay],
    history: DriftHistory,
    is_interrupted: bool,
) -> dict[str, Any]:
    started = [day.day for day in monitored if not day.error and day.report is None]
    return {
        "model": config.model_name,
        "monitored": [
            {
                "day": day.day,
                "run_id": day.run_id,
                "drift_message": day.message,
                "error": day.error or None,
                "features": day.features(),
            }
            for day in monitored
        ],
        "left_out": days.reported,
        "awaited": [*days.awaited, *started],
        "failed": [day.day for day in monitored if day.error],
        "interrupted": is_interrupted,
        "left": len(days.due) - len(monitored),
        "history": [
            {
                "feature": feature,
                "summary": history.summary(feature),
                "episodes": [asdict(episode) for episode in history.episodes(feature)],
            }
            for feature in (config.drift_thresholds if history.days else ())
        ],
    }
