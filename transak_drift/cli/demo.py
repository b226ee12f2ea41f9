"""`transak-drift demo`: the whole loop, for real: quiet days, drift, retraining, recovery."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import dagster as dg
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from transak_drift.cli.dagster_home import make_dagster_home, write_workspace
from transak_drift.cli.dagster_services import dagster_daemon, on_stop_signal
from transak_drift.cli.output import (
    JsonOption,
    console,
    error_console,
    print_error,
    print_json,
    print_line,
    print_table,
)
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_EVENT,
    DRIFT_EVENT_TAG,
    JOB_NAME_METADATA,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.drift.drift_event import drift_event_key
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.settings import load_settings

QUIET_DAYS = 4
RECOVERY_DAYS = 2
RETRAIN_DEADLINE = timedelta(seconds=150)
_POLL_SECONDS = 0.5
_MARKER = "made-by-transak-drift-demo"
_SHOWN = {"feature", "metric", "distance", "threshold"}

# The run's log goes to the Dagster instance all the same.
_QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Found = TypeVar("Found")


class DemoFailedError(RuntimeError):
    """A step did not happen as it should."""


def demo(
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep what the demo made, to look at it.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run the loop end to end on the local platform; status 0 only if each step happened."""
    home = _fresh_directory(load_settings().home / "demo")
    count = QUIET_DAYS + 1 + RECOVERY_DAYS
    first_day = datetime.now(UTC).date() - timedelta(days=count)
    days = [first_day + timedelta(days=n) for n in range(count)]
    os.environ |= {
        "TRANSAK_DRIFT_PLATFORM": "local",
        "TRANSAK_DRIFT_HOME": str(home),
        "TRANSAK_DRIFT_DRIFT_FROM": str(days[QUIET_DAYS]),
        "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "2",
        "DAGSTER_HOME": str(home / "dagster_home"),
    }
    if not as_json:
        console.print(
            "[bold]transak-drift demo[/]: synthetic transactions, everything else is real "
            "(statistics, Pub/Sub, daemon, training)"
        )
    try:
        with on_stop_signal(_interrupt):
            loop = _run(home, days, quiet=as_json)
    except DemoFailedError as failure:
        print_error(f"demo failed: {failure}\nlogs: {home}")
        raise typer.Exit(1) from None
    if as_json:
        print_json(loop.document())
    else:
        print_table("Timeline", loop.rows(), "nothing happened")
        for sentence in loop.sentences():
            print_line(f"  {sentence}")
        console.print("[bold green]the loop is closed: every step really happened[/]")
        if keep:
            print_line("look at it with", style="dim")
            print_line(dev_command(home))
    if not keep:
        shutil.rmtree(home)


def _interrupt() -> None:
    raise KeyboardInterrupt


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


def dev_command(home: Path) -> str:
    """Return a command line that shows what the demo made, also where nothing is on the PATH."""
    program = Path(sys.executable).with_name("transak-drift")
    variables = {"TRANSAK_DRIFT_HOME": home, "DAGSTER_HOME": home / "dagster_home"}
    settings = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
    return " ".join([*settings, shlex.quote(str(program)), "dev"])


def _run(home: Path, days: list[date], *, quiet: bool) -> _Loop:
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(quiet=True) if quiet else error_console,
    )
    with progress, ExitStack() as stack:
        loop = _Loop(home, days, stack)
        for title, step in loop.steps():
            task = progress.add_task(title, total=1)
            progress.update(task, completed=1, description=f"{title}: {step()}")
        return loop


class _Loop:
    """The steps on a Dagster instance of their own, with a real daemon.

    Each step checks that what it is about really happened, and says so in a few words.
    """

    def __init__(self, home: Path, days: list[date], stack: ExitStack) -> None:
        settings = load_settings()
        self._home = home
        self._days = days
        self._drift_day = days[QUIET_DAYS]
        self._config = settings.load_configs()[0]
        self._names = ModelNames.of(self._config)
        dagster_home = make_dagster_home(home / "dagster_home")
        self._instance = stack.enter_context(dg.DagsterInstance.from_config(str(dagster_home)))
        self._definitions = build_definitions(settings, [self._config])
        self._platform = platform_resource(settings).open(self._config)
        self._services = stack.enter_context(
            dagster_daemon(dagster_home, write_workspace(home), home / "daemon.log")
        )
        self._results: dict[date, MonitoringResult] = {}
        self._versions: dict[date, str] = {}
        self._message_id = ""
        self._drift_event = ""
        self._retrain_run_id = ""
        self._version_before = ""
        self._version_after = ""
        self._promotion_reason = ""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the steps in order, each with its title."""
        quiet, later = self._days[:QUIET_DAYS], self._days[QUIET_DAYS + 1 :]
        return [
            ("train the first model, apply the monitoring configuration", self._prepare),
            *((f"{day} quiet day", lambda day=day: self._quiet_day(day)) for day in quiet),
            (f"{self._drift_day} drift is injected", self._inject_drift),
            ("drift event in the event log", self._await_record),
            ("sensor and training", self._await_retraining),
            *((f"{day} after the training", lambda day=day: self._quiet_day(day)) for day in later),
        ]

    def _prepare(self) -> str:
        self._run_job(self._names.name(PREPARE_JOB))
        model = self._platform.ensure_registered_model(self._config)
        if model.version is None or model.created:
            raise DemoFailedError("the first model was not registered by the run")
        applied = self._platform.apply_model_monitor(self._config)
        if applied.created or applied.changes:
            raise DemoFailedError("the configuration was not applied by the run")
        self._version_before = model.version
        return f"version {model.version}, monitor {self._config.model_monitor_id}"

    def _quiet_day(self, day: date) -> str:
        result = self._monitor(day)
        if result.drifted:
            raise DemoFailedError(f"{day} drifted: {_distances(result)}")
        return _distances(result)

    def _inject_drift(self) -> str:
        day = self._drift_day
        result = self._monitor(day)
        if not result.drifted:
            raise DemoFailedError(f"{day} did not drift: {_distances(result)}")
        metadata = self._newest_metadata(self._names.asset(MONITORING_RUN), str(day))
        message = metadata.get("drift message")
        if message is None:
            raise DemoFailedError(f"{day} drifted, but no message was published")
        self._message_id = str(message)
        monitor, job = result.job_name.split("/")[-3::2]
        self._drift_event = drift_event_key(monitor, job)
        return f"{_distances(result)}, message {message}"

    def _await_record(self) -> str:
        def recorded() -> bool:
            found = read_records(self._instance, self._names.asset(DRIFT_EVENT))
            records = [record for _, part in found for record in part]
            return any(item.key == self._drift_event and item.messages for item in records)

        self._wait_for("the drift event's record", recorded)
        return f"recorded, message {self._message_id} acknowledged in the same tick"

    def _await_retraining(self) -> str:
        tagged = dg.RunsFilter(tags={DRIFT_EVENT_TAG: self._drift_event})

        def finished() -> dg.DagsterRun | None:
            return next((run for run in self._instance.get_runs(tagged) if run.is_finished), None)

        run = self._wait_for("a finished retrain run", finished)
        self._retrain_run_id = run.run_id
        if run.status != dg.DagsterRunStatus.SUCCESS:
            raise DemoFailedError(f"retrain run {run.run_id} ended as {run.status.value}")
        count = self._instance.get_runs_count(dg.RunsFilter(job_name=self._names.name(RETRAIN_JOB)))
        if count != 1:
            raise DemoFailedError(f"{count} retrain runs for one drift event")
        training = self._newest_metadata(self._names.asset(TRAINED_MODEL), None)
        self._version_after = str(training["champion after"])
        self._promotion_reason = str(training["reason"])
        if self._version_after == self._version_before:
            raise DemoFailedError(f"not promoted: {self._promotion_reason}")
        return f"run {run.run_id[:8]}, version {self._version_before} -> {self._version_after}"

    def _monitor(self, day: date) -> MonitoringResult:
        self._run_job(self._names.name(DAILY_MONITORING_JOB), str(day))
        metadata = self._newest_metadata(self._names.asset(MONITORING_RUN), str(day))
        job_name = str(metadata[JOB_NAME_METADATA])
        result = self._platform.monitoring_result(self._config, job_name)
        if result is None:
            raise DemoFailedError(f"{day}: no result of {job_name}")
        self._results[day] = result
        model = self._platform.ensure_registered_model(self._config)
        self._versions[day] = model.version or "none"
        return result

    def _run_job(self, name: str, partition_key: str | None = None) -> None:
        outcome = self._definitions.resolve_job_def(name).execute_in_process(
            run_config=_QUIET_RUN,
            instance=self._instance,
            partition_key=partition_key,
            raise_on_error=False,
        )
        if not outcome.success:
            raise DemoFailedError(f"job {name} failed, run {outcome.run_id}")

    def _newest_metadata(self, key: dg.AssetKey, partition: str | None) -> dict[str, Any]:
        partitions = None if partition is None else [partition]
        records = self._instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions), limit=1
        ).records
        materialization = records[0].asset_materialization if records else None
        if materialization is None:
            raise DemoFailedError(f"{key.to_user_string()} was not materialized")
        return {name: value.value for name, value in materialization.metadata.items()}

    def _wait_for(self, what: str, look: Callable[[], Found | None]) -> Found:
        deadline = datetime.now() + RETRAIN_DEADLINE
        while datetime.now() < deadline:
            found = look()
            if found:
                return found
            ended = self._services.ended()
            if ended is not None:
                raise DemoFailedError(f"{ended}; see {self._home / 'daemon.log'}")
            time.sleep(_POLL_SECONDS)
        raise DemoFailedError(f"no sign of {what} in {RETRAIN_DEADLINE.seconds} s")

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a day for a table."""
        rows = []
        for day, result in self._results.items():
            row: dict[str, Any] = {"day": str(day), "model": self._versions[day]}
            for feature in result.features:
                heading = f"{feature.feature}\n(limit {feature.threshold:g})"
                row[heading] = _distance(feature.distance)
            row["verdict"] = "DRIFT" if result.drifted else "ok"
            row["message"] = self._message_id if day == self._drift_day else ""
            row["retrain\nrun"] = self._retrain_run_id[:8] if day == self._drift_day else ""
            rows.append(row)
        return rows

    def sentences(self) -> list[str]:
        """Return what happened, for people."""
        drifted = self._results[self._drift_day].drifted
        found = ", ".join(f"{f.feature} {f.distance:.4f} > {f.threshold:g}" for f in drifted)
        after = "; ".join(
            f"{day}: {_distances(result)}"
            for day, result in self._results.items()
            if day > self._drift_day
        )
        return [
            f"{self._drift_day} drifted: {found}",
            f"drift message {self._message_id} (drift event {self._drift_event})",
            f"retrain run {self._retrain_run_id}: model version {self._version_before} -> "
            f"{self._version_after} ({self._promotion_reason})",
            f"below the threshold afterwards: {after}",
        ]

    def document(self) -> dict[str, Any]:
        """Return what happened, for scripts."""
        return {
            "drift_day": str(self._drift_day),
            "drift_event": self._drift_event,
            "message_id": self._message_id,
            "retrain_run_id": self._retrain_run_id,
            "model_version_before": self._version_before,
            "model_version_after": self._version_after,
            "promotion_reason": self._promotion_reason,
            "days": [
                {
                    "day": str(day),
                    "model_version": self._versions[day],
                    "drifted": bool(result.drifted),
                    "features": [
                        {**feature.model_dump(include=_SHOWN), "drifted": feature.drifted}
                        for feature in result.features
                    ],
                }
                for day, result in self._results.items()
            ],
        }


def _distance(distance: float | None) -> str:
    return "-" if distance is None else f"{distance:.4f}"


def _distances(result: MonitoringResult) -> str:
    return ", ".join(f"{f.feature} {_distance(f.distance)}" for f in result.features)
