"""`transak-drift backfill`: monitors past windows, and says when drift began.

The windows are runs of the monitoring job on the user's own Dagster instance, some windows each, as
Dagster's own backfill makes them; no daemon is needed for these.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import dagster as dg
import typer
from rich.progress import MofNCompleteColumn, Progress

from transak_drift.cli import output
from transak_drift.cli.dagster_home import dagster_home, on_stop_signal
from transak_drift.cli.model_jobs import CommandFailedError, ModelJobs, MonitoredWindow
from transak_drift.cli.output import JsonOption, ModelOption, error_console
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs import keys
from transak_drift.defs.history import history_read_until
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import newest_materialization
from transak_drift.defs.recorded_reports import newest_record, read_drift_history
from transak_drift.defs.recorded_windows import require_same_windows
from transak_drift.drift.drift_history import DriftEpisode, DriftHistory
from transak_drift.settings import load_settings

DEFAULT_WINDOWS = {"day": 60, "week": 26, "month": 12}
BACKFILL_TAG = "transak_drift/backfill"
FAILED = 1
# As a shell reports a process that SIGINT ended.
INTERRUPTED = 130


class WindowsToMonitor(NamedTuple):
    """The windows of a backfill: due, left out with a report, left out as their report follows."""

    due: list[Window]
    reported: list[Window]
    awaited: list[Window]


def backfill(
    number: Annotated[
        int | None,
        typer.Option(
            "--windows",
            "--days",
            min=1,
            help="How many windows up to the last; by default 60 days, 26 weeks or 12 months.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="The last window, by its key or a day of it; by default the newest ended.",
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from", help="The first window, by its key or a day of it, in place of --windows."
        ),
    ] = None,
    single: Annotated[
        str | None,
        typer.Option(
            "--window",
            help="One window alone: a day 2026-08-27, a week by its Monday or as 2026-W35, or a "
            "month 2026-08.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also the windows that have a report already.")
    ] = False,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Monitor past windows, and show when drift of each feature began."""
    settings = load_settings()
    config = settings.load_config(model)
    asked = asked_windows(
        config,
        first=first,
        last=until,
        number=number,
        single=single,
        now=datetime.now(UTC),
    )
    names = ModelNames.of(config)
    with dg.DagsterInstance.from_config(str(dagster_home(settings.home))) as instance:
        require_same_windows(instance, config)
        chosen = windows_to_monitor(
            instance, names, asked, again=again, results_follow=settings.platform == "gcp"
        )
        tags = {BACKFILL_TAG: f"{asked[0].key}..{asked[-1].key}"}
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


def _run(
    jobs: ModelJobs, due: list[Window], *, is_prepared: bool
) -> tuple[list[MonitoredWindow], bool]:
    """Monitor the windows; returns what became of them, and whether a signal ended it early."""
    bar = Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=error_console,
        disable=not error_console.is_terminal,
    )
    monitored: list[MonitoredWindow] = []
    stopped = threading.Event()
    # Dagster handles signals in the main thread, where one would break a run off.
    with on_stop_signal(lambda *_: stopped.set()), ThreadPoolExecutor(1) as worker, bar:
        task = bar.add_task(f"{jobs.config.monitoring_window}s", total=len(due))
        if due and not is_prepared:
            worker.submit(jobs.run, keys.PREPARE_JOB).result()
        for windows in _ranges(due, jobs.config.windows):
            if stopped.is_set():
                return monitored, True
            for found in worker.submit(jobs.monitor, windows).result():
                monitored.append(found)
                output.print_line(f"{found.window.key} {found.summary()}", to=error_console)
                bar.advance(task)
        names = jobs.names
        if newest_record(jobs.instance, names) > history_read_until(jobs.instance, names):
            worker.submit(jobs.run, keys.DRIFT_HISTORY_JOB).result()
    return monitored, False


def _ranges(windows: list[Window], calendar: WindowCalendar) -> list[list[Window]]:
    """Split windows into ranges without a gap, each for one run."""
    ranges: list[list[Window]] = []
    for window in windows:
        newest = ranges[-1] if ranges else []
        is_next = newest and calendar.before(window) == newest[-1]
        if is_next and len(newest) < keys.MAX_WINDOWS_PER_RUN:
            newest.append(window)
        else:
            ranges.append([window])
    return ranges


def asked_windows(
    config: MonitoringConfig,
    *,
    first: str | None,
    last: str | None,
    number: int | None,
    single: str | None,
    now: datetime,
) -> list[Window]:
    """Return the windows that are asked for, in order, at least one; refuse what cannot be."""
    calendar, length = config.windows, config.monitoring_window
    newest, earliest = calendar.newest_ended(now), calendar.first_from(config.start_date)
    for option, value in (("--from", first), ("--until", last), ("--windows", number)):
        if single is not None and value is not None:
            raise _refused(option, value, "is given together with --window", "give one of them")
    if first is not None and number is not None:
        raise _refused("--windows", number, "is given together with --from", "give one of them")
    end_option, wanted = ("--until", last) if single is None else ("--window", single)
    end = _parsed(calendar, end_option, wanted, newest)
    if end > newest:
        fix = f"ask for {length}s up to {newest.key} ({config.time_zone})"
        raise _refused(end_option, end.key, "is not over yet", fix)
    if end < earliest:
        fix = f"ask for a {length} from {earliest.key} on, or set an earlier start_date"
        raise _refused(end_option, end.key, f"is before start_date ({config.start_date})", fix)
    if single is not None:
        return [end]
    if first is not None:
        option, value, begin = "--from", first, _parsed(calendar, "--from", first, end)
    else:
        option, value, begin = "--windows", number or DEFAULT_WINDOWS[length], end
        for _ in range(int(value) - 1):
            if begin.first_day.year == 1 or (begin == earliest and number is None):
                break
            begin = calendar.before(begin)
    if begin > end:
        fix = f"turn the two {length}s round"
        raise _refused(option, value, f"is after the last {length}, {end.key}", fix)
    if begin < earliest:
        problem = f"begins with {begin.key}, before start_date ({config.start_date})"
        count = len(calendar.between(earliest, end))
        fix = (
            f"ask for --windows {count} or --from {earliest.key}, or set an earlier start_date in "
            "the configuration"
        )
        raise _refused(option, value, problem, fix)
    return calendar.between(begin, end)


def _parsed(calendar: WindowCalendar, option: str, text: str | None, default: Window) -> Window:
    """Read a window's key; to bound a range, a day stands for the window that it belongs to."""
    if text is None:
        return default
    try:
        return calendar.parse(text) if option == "--window" else calendar.parse_key_or_day(text)
    except ValueError as error:
        problem, _, fix = str(error).removeprefix(f"{text!r} ").partition(": ")
        raise _refused(option, text, problem, fix) from None


def windows_to_monitor(
    instance: dg.DagsterInstance,
    names: ModelNames,
    windows: list[Window],
    *,
    again: bool,
    results_follow: bool,
) -> WindowsToMonitor:
    """Leave out the windows that have a report, or whose report follows as on gcp.

    Elsewhere a window with a start and no report was interrupted, and is due.
    """
    if again:
        return WindowsToMonitor(windows, [], [])
    reported = instance.get_materialized_partitions(names.asset(keys.DRIFT_REPORT))
    awaited: set[str] = set()
    if results_follow:
        started = instance.get_materialized_partitions(names.asset(keys.MONITORING_RUN)) - reported
        awaited = {key for key in started if not _has_failed(instance, names, key)}
    return WindowsToMonitor(
        due=[window for window in windows if window.key not in reported | awaited],
        reported=[window for window in windows if window.key in reported],
        awaited=[window for window in windows if window.key in awaited],
    )


def _has_failed(instance: dg.DagsterInstance, names: ModelNames, partition: str) -> bool:
    """Return whether the sensor has recorded that the newest job of a window gave no result."""
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
    reported = sum(bool(item["features"]) for item in monitored)
    messages = sum(item["drift_message"] is not None for item in monitored)
    length = document["monitoring_window"]
    say(
        f"{document['model']}: {reported} {length}(s) monitored, {len(document['left_out'])} left "
        f"out (they have a report: --again monitors them again), {len(failed)} failed"
    )
    if messages:
        say(
            f"{messages} drift message(s) published: of those that wait for a training, the "
            f"newest {length} is next, and it answers the {length}s before it as well"
        )
    if awaited:
        say(
            f"{len(awaited)} monitoring job(s) are awaited: monitoring_results_sensor records "
            "their reports when they end"
        )
    for feature in document["history"]:
        say(feature["summary"])
    if not document["history"]:
        say(f"no {length} has a report yet")
    for item in monitored:
        if item["error"]:
            output.print_error(f"{item['window']} failed (run {item['run_id']}): {item['error']}")
    if document["interrupted"]:
        output.print_error(
            f"interrupted, {document['left']} {length}(s) are left: the same command goes on with "
            "them"
        )


def _document(
    config: MonitoringConfig,
    windows: WindowsToMonitor,
    monitored: list[MonitoredWindow],
    history: DriftHistory,
    is_interrupted: bool,
) -> dict[str, Any]:
    started = [item.window for item in monitored if not item.error and item.report is None]
    return {
        "model": config.model_name,
        "monitoring_window": config.monitoring_window,
        "monitored": [
            {
                "window": item.window.key,
                "run_id": item.run_id,
                "drift_message": item.message,
                "error": item.error or None,
                "features": item.features(),
            }
            for item in monitored
        ],
        "left_out": [window.key for window in windows.reported],
        "awaited": [window.key for window in (*windows.awaited, *started)],
        "failed": [item.window.key for item in monitored if item.error],
        "interrupted": is_interrupted,
        "left": len(windows.due) - len(monitored),
        "history": [
            {
                "feature": feature,
                "summary": history.summary(feature),
                "episodes": [_episode(episode) for episode in history.episodes(feature)],
            }
            for feature in (config.thresholds if history.windows else ())
        ],
    }


def _episode(episode: DriftEpisode) -> dict[str, Any]:
    points = {"onset": episode.onset, "last": episode.last, "peak": episode.peak}
    shown = {
        name: {"window": item.window.key, "distance": item.distance, "threshold": item.threshold}
        for name, item in points.items()
    }
    return {**shown, "ongoing": episode.ongoing}
