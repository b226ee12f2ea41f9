"""`transak-drift backfill`: monitors past days, and says when drift began.

Each day is a run of the daily job on the user's own Dagster instance, executed in this process:
Dagster's own backfill would need its daemon, and a process for each day.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import dagster as dg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from transak_drift.cli.dagster_home import dagster_home
from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    console,
    error_console,
    print_error,
    print_json,
)
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.history import history_read_until
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    MODEL_TAG,
    MONITORING_RUN,
    PREPARE_JOB,
    ModelNames,
)
from transak_drift.defs.recorded_reports import newest_record, read_drift_history, recorded_day
from transak_drift.drift.drift_history import DriftHistory, RecordedDay
from transak_drift.settings import Settings, load_settings

BACKFILL_TAG = "transak_drift/backfill"
DEFAULT_DAYS = 60
FAILED = 1
# As a shell reports a process that SIGINT ended.
INTERRUPTED = 130

_DAY = ["%Y-%m-%d"]
_FEATURE_FIELDS = {"feature", "distance", "threshold"}
# The run's log goes to the Dagster instance all the same.
_QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class BackfillError(RuntimeError):
    """A run without which no day can be monitored has failed."""


@dataclass(frozen=True, slots=True)
class DaysToMonitor:
    """The days of a backfill: due, left out with a report, and left out as their report follows."""

    due: list[date]
    reported: list[date]
    awaited: list[date]


@dataclass(frozen=True, slots=True)
class MonitoredDay:
    """What became of one day; the report is None where it failed or its job still runs."""

    day: date
    report: RecordedDay | None
    message: str | None
    error: str
    run_id: str

    def summary(self) -> str:
        if self.error:
            return f"{self.day} failed"
        if self.report is None:
            return f"{self.day} its monitoring job runs"
        features = self.report.result.features
        return f"{self.day} {', '.join(feature.summary() for feature in features)}"


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
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console,
        disable=not error_console.is_terminal,
    )
    try:
        with bar, _interrupts() as interrupted:
            if done.days.due:
                runs.prepare()
            task = bar.add_task("days", total=len(done.days.due))
            for day in done.days.due:
                if interrupted():
                    raise KeyboardInterrupt
                outcome = runs.monitor(day)
                done.monitored.append(outcome)
                bar.update(task, advance=1, description=outcome.summary())
                if not error_console.is_terminal:
                    error_console.print(
                        outcome.summary(), markup=False, highlight=False, soft_wrap=True
                    )
        done.history = runs.refresh_history()
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        done.interrupted = True


@contextmanager
def _interrupts() -> Generator[Callable[[], bool]]:
    """Notice a Ctrl-C that Dagster's handler keeps to itself, as it does at the end of a run."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def received() -> bool:
        try:
            numbers = reader.recv(4096)
        except BlockingIOError:
            return False
        return signal.SIGINT in numbers or signal.SIGTERM in numbers

    try:
        yield received
    finally:
        signal.set_wakeup_fd(before)
        reader.close()
        writer.close()


class BackfillRuns:
    """Runs the jobs of one model; the definitions are built once for all days."""

    def __init__(
        self,
        settings: Settings,
        config: MonitoringConfig,
        instance: dg.DagsterInstance,
        label: str,
    ) -> None:
        self._settings = settings
        self._config = config
        self._names = ModelNames.of(config)
        self._instance = instance
        self._definitions = build_definitions(settings, [config])
        self._tags = {BACKFILL_TAG: label, MODEL_TAG: config.model_name}

    def prepare(self) -> None:
        """Find the model and apply the configuration where none is applied."""
        platform = platform_resource(self._settings).open(self._config)
        if platform.overview(self._config).model_monitor is None:
            self._run(self._names.name(PREPARE_JOB))

    def monitor(self, day: date) -> MonitoredDay:
        """Monitor one day; a failure is no exception, since the next day may succeed."""
        outcome = self._execute(self._names.name(DAILY_MONITORING_JOB), str(day))
        report: RecordedDay | None = None
        message: str | None = None
        for event in outcome.get_asset_materialization_events():
            materialization = event.step_materialization_data.materialization
            if event.asset_key == self._names.asset(DRIFT_REPORT):
                report = recorded_day(materialization)
            elif event.asset_key == self._names.asset(MONITORING_RUN):
                published = materialization.metadata.get("drift message")
                message = None if published is None else str(published.value)
        error = "" if outcome.success else _failure(outcome)
        return MonitoredDay(day, report, message, error, outcome.run_id)

    def refresh_history(self) -> DriftHistory:
        """Materialize the drift history, unless it has each report already."""
        read_until = history_read_until(self._instance, self._names)
        if newest_record(self._instance, self._names) > read_until:
            self._run(self._names.name(DRIFT_HISTORY_JOB))
        return read_drift_history(self._instance, self._names)

    def _run(self, job: str) -> None:
        outcome = self._execute(job, None)
        if not outcome.success:
            raise BackfillError(f"job {job} failed, run {outcome.run_id}: {_failure(outcome)}")

    def _execute(self, job: str, partition_key: str | None) -> dg.ExecuteInProcessResult:
        return self._definitions.resolve_job_def(job).execute_in_process(
            run_config=_QUIET_RUN,
            instance=self._instance,
            partition_key=partition_key,
            tags=self._tags,
            raise_on_error=False,
        )


def _failure(outcome: dg.ExecuteInProcessResult) -> str:
    for event in outcome.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return failure.user_failure_data.description
        if failure.error is not None:
            cause = failure.error.cause or failure.error
            return cause.message.strip()
    return f"run {outcome.run_id} failed; see its log in the Dagster UI"


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
    starts = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=names.asset(MONITORING_RUN), asset_partitions=[partition]),
        limit=1,
    ).records
    failed = failures[0].asset_observation if failures else None
    started = starts[0].asset_materialization if starts else None
    if failed is None or started is None:
        return False
    return failed.metadata.get(JOB_NAME_METADATA) == started.metadata.get(JOB_NAME_METADATA)


def _refused(option: str, value: object, problem: str, fix: str) -> ConfigError:
    return ConfigError("the command", [ConfigFault(option, value, problem, fix)])


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
