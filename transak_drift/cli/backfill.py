"""`transak-drift backfill`: monitors past days, and says when drift began.

The days are runs of the daily job on the user's own Dagster instance, some days each, as Dagster's
own backfill makes them; no daemon is needed for these.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import dagster as dg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from transak_drift.cli import output
from transak_drift.cli.dagster_home import QUIET_RUN, dagster_home
from transak_drift.cli.output import JsonOption, ModelOption, error_console
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.history import history_read_until
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    MAX_DAYS_PER_RUN,
    MESSAGE_METADATA,
    MODEL_TAG,
    MONITORING_RUN,
    PREPARE_JOB,
    ModelNames,
)
from transak_drift.defs.metadata import failure_message, newest_materialization
from transak_drift.defs.recorded_reports import newest_record, read_drift_history, recorded_day
from transak_drift.drift.drift_history import DriftHistory, RecordedDay
from transak_drift.settings import Settings, load_settings

DEFAULT_DAYS = 60
BACKFILL_TAG = "transak_drift/backfill"
FAILED = 1
# As a shell reports a process that SIGINT ended.
INTERRUPTED = 130

_DAY = ["%Y-%m-%d"]
_FEATURE_FIELDS = {"feature", "distance", "threshold"}


class BackfillError(RuntimeError):
    """A run without which no day can be monitored has failed."""


@dataclass(frozen=True, slots=True)
class MonitoredDay:
    """What became of one day; the report is None where it failed or its job still runs."""

    day: date
    run_id: str
    report: RecordedDay | None = None
    message: str | None = None
    error: str = ""

    def summary(self) -> str:
        if self.error:
            return f"{self.day} failed"
        if self.report is None:
            return f"{self.day} its monitoring job runs"
        features = self.report.result.features
        return f"{self.day} {', '.join(feature.summary() for feature in features)}"


@dataclass(frozen=True, slots=True)
class DaysToMonitor:
    """The days of a backfill: due, left out with a report, and left out as their report follows."""

    due: list[date]
    reported: list[date]
    awaited: list[date]


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
    """Monitor past days, and tell when drift of each feature began."""
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
        _run(settings, instance, done, f"{asked[0]}..{asked[-1]}")
    except BackfillError as error:
        output.print_error(str(error))
        raise typer.Exit(FAILED) from None
    finally:
        instance.dispose()
    if as_json:
        output.print_json(_document(done))
    else:
        _print(done)
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)
    if done.failed:
        raise typer.Exit(FAILED)


def _run(settings: Settings, instance: dg.DagsterInstance, done: _Backfill, label: str) -> None:
    due, names = done.days.due, ModelNames.of(done.config)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console,
        disable=not error_console.is_terminal,
    )
    jobs = _Jobs(instance, build_definitions(settings, [done.config]), done.config, label)
    started: list[Future[list[MonitoredDay]]] = []
    # A Ctrl-C reaches the main thread alone, so that no run is broken off.
    worker = ThreadPoolExecutor(1)
    try:
        with _termination_interrupts(), bar:
            if due and not _is_prepared(settings, done.config):
                worker.submit(jobs.run, PREPARE_JOB).result()
            task = bar.add_task("days", total=len(due))
            started += [worker.submit(jobs.monitor, days) for days in _ranges(due)]
            for future in started:
                for day in future.result():
                    bar.update(task, advance=1, description=day.summary())
                    if not error_console.is_terminal:
                        output.print_line(day.summary(), to=error_console)
            if newest_record(instance, names) > history_read_until(instance, names):
                worker.submit(jobs.run, DRIFT_HISTORY_JOB).result()
            done.history = read_drift_history(instance, names)
    except KeyboardInterrupt:
        done.interrupted = True
    finally:
        worker.shutdown(cancel_futures=True)
    ended = [future for future in started if not future.cancelled()]
    done.monitored = [day for future in ended for day in future.result()]


@dataclass(frozen=True)
class _Jobs:
    """Runs the jobs of one model in this process."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    config: MonitoringConfig
    label: str

    def run(self, job: str) -> None:
        outcome = self._execute(job, {})
        if not outcome.success:
            reason = _failures(outcome).get("")
            raise BackfillError(f"job {job} failed, run {outcome.run_id}: {reason}")

    def monitor(self, days: list[date]) -> list[MonitoredDay]:
        """Monitor days that follow on each other; one that fails stops no other."""
        bounds = {
            "dagster/asset_partition_range_start": str(days[0]),
            "dagster/asset_partition_range_end": str(days[-1]),
        }
        outcome = self._execute(DAILY_MONITORING_JOB, bounds)
        found: dict[str, dict[str, Any]] = {str(day): {} for day in days}
        names = ModelNames.of(self.config)
        for event in outcome.get_asset_materialization_events():
            materialization = event.step_materialization_data.materialization
            of_day = found[materialization.partition or ""]
            if event.asset_key == names.asset(DRIFT_REPORT):
                of_day["report"] = recorded_day(materialization)
            elif event.asset_key == names.asset(MONITORING_RUN):
                message = materialization.metadata.get(MESSAGE_METADATA)
                of_day["message"] = None if message is None else str(message.value)
        errors = {} if outcome.success else _failures(outcome)
        whole = errors.get("", "")
        return [
            MonitoredDay(day, outcome.run_id, error=errors.get(str(day), whole), **found[str(day)])
            for day in days
        ]

    def _execute(self, job: str, tags: Mapping[str, str]) -> dg.ExecuteInProcessResult:
        name = ModelNames.of(self.config).name(job)
        return self.definitions.resolve_job_def(name).execute_in_process(
            run_config=QUIET_RUN,
            instance=self.instance,
            tags={BACKFILL_TAG: self.label, MODEL_TAG: self.config.model_name, **tags},
            raise_on_error=False,
        )


def _failures(outcome: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return why a run failed, by day, or by an empty text where it failed as a whole."""
    for event in outcome.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.metadata:
            return {day: str(reason.value) for day, reason in failure.metadata.items()}
        if (message := failure_message(event)) is not None:
            return {"": message.strip()}
    return {"": f"run {outcome.run_id} failed; see its log in the Dagster UI"}


def _ranges(days: list[date]) -> list[list[date]]:
    """Split days into ranges without a gap, each for one run."""
    ranges: list[list[date]] = []
    for day in days:
        newest = ranges[-1] if ranges else []
        follows = bool(newest) and day - newest[-1] == timedelta(days=1)
        if follows and len(newest) < MAX_DAYS_PER_RUN:
            newest.append(day)
        else:
            ranges.append([day])
    return ranges


def _is_prepared(settings: Settings, config: MonitoringConfig) -> bool:
    return platform_resource(settings).open(config).overview(config).model_monitor is not None


@contextmanager
def _termination_interrupts() -> Generator[None]:
    """Let SIGTERM end the command as a Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def asked_days(
    config: MonitoringConfig,
    *,
    first: date | None,
    last: date | None,
    number: int | None,
    today: date,
) -> list[date]:
    """Return the days that are asked for, in order, at least one; refuse what cannot be."""
    yesterday = today - timedelta(days=1)
    end = last or yesterday
    if end > yesterday:
        fix = f"ask for days up to {yesterday} (UTC)"
        raise _refused("--until", end, "is not over yet", fix)
    if end < config.start_date:
        fix = f"ask for a day from {config.start_date} on, or set an earlier start_date"
        raise _refused("--until", end, f"is before start_date ({config.start_date})", fix)
    if first is not None and number is not None:
        raise _refused("--days", number, "is given together with --from", "give one of them")
    option = "--days" if first is None else "--from"
    begin = first or end - timedelta(days=(number or DEFAULT_DAYS) - 1)
    if begin > end:
        raise _refused(option, begin, f"is after the last day, {end}", "turn the two days round")
    if begin < config.start_date:
        possible = (end - config.start_date).days + 1
        raise _refused(
            option,
            number or DEFAULT_DAYS if first is None else first,
            f"begins on {begin}, before start_date ({config.start_date})",
            f"ask for --days {possible} or --from {config.start_date}, or set an earlier "
            "start_date in the configuration",
        )
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
    reported = instance.get_materialized_partitions(names.asset(DRIFT_REPORT))
    awaited: set[str] = set()
    if results_follow:
        started = instance.get_materialized_partitions(names.asset(MONITORING_RUN)) - reported
        awaited = {key for key in started if not _has_failed(instance, names, key)}
    return DaysToMonitor(
        due=[day for day in days if str(day) not in reported | awaited],
        reported=[day for day in days if str(day) in reported],
        awaited=[day for day in days if str(day) in awaited],
    )


def _has_failed(instance: dg.DagsterInstance, names: ModelNames, partition: str) -> bool:
    """Return whether the sensor has recorded that the newest job of a day gave no result."""
    failures = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=names.asset(DRIFT_REPORT), asset_partitions=[partition]),
        limit=1,
    ).records
    failed = failures[0].asset_observation if failures else None
    started = newest_materialization(instance, names.asset(MONITORING_RUN), partition)
    if failed is None or started is None:
        return False
    return failed.metadata.get(JOB_NAME_METADATA) == started.metadata.get(JOB_NAME_METADATA)


def _refused(option: str, value: object, problem: str, fix: str) -> ConfigError:
    return ConfigError("the command", [ConfigFault(option, value, problem, fix)])


def _print(done: _Backfill) -> None:
    say = output.print_line
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
        output.print_error(f"{day.day} failed (run {day.run_id}): {day.error}")
    if done.interrupted:
        left = len(done.days.due) - len(done.monitored)
        output.print_error(
            f"interrupted, {left} day(s) are left: the same command goes on with them"
        )


def _document(done: _Backfill) -> dict[str, Any]:
    document: dict[str, Any] = {
        "model": done.config.model_name,
        "monitored": [
            {
                "day": day.day,
                "run_id": day.run_id,
                "drift_message": day.message,
                "error": day.error or None,
                "features": [
                    {**found.model_dump(include=_FEATURE_FIELDS), "drifted": found.drifted}
                    for found in (day.report.result.features if day.report else ())
                ],
            }
            for day in done.monitored
        ],
        "left_out": done.days.reported,
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
