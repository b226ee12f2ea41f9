"""`transak-drift demo`: the whole loop, for real: quiet windows, drift, retraining, recovery."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
import typer
from rich.console import Console

from transak_drift.cli import output
from transak_drift.cli.dagster_home import (
    DagsterServices,
    make_dagster_home,
    on_stop_signal,
    write_workspace,
)
from transak_drift.cli.model_jobs import CommandFailedError, ModelJobs
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowLength
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs import keys
from transak_drift.defs.approval import decide_event
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.metadata import newest_materialization
from transak_drift.drift.drift_event import drift_event_key
from transak_drift.settings import MIN_ROWS_PER_DAY, Settings, load_settings
from transak_drift.trigger.approval import Decision, UndecidableError

QUIET_WINDOWS = 4
RECOVERY_WINDOWS = 2
_RETRAIN_SECONDS = 150
_POLL_SECONDS = 0.5
_DAYS = {"week": 7, "month": 30}
_MARKER = "made-by-transak-drift-demo"


def demo(
    window: Annotated[
        WindowLength | None,
        typer.Option(help="What is monitored as one; by default as configured."),
    ] = None,
    as_json: output.JsonOption = False,
) -> None:
    """Run the loop end to end on the local platform; status 0 only if each step happened."""
    if window is not None:
        os.environ["TRANSAK_DRIFT_MONITORING_WINDOW"] = window
    settings = load_settings()
    windows = _demo_windows(settings.load_configs()[0])
    home = _fresh_directory(settings.home / "demo")
    own = _own_settings(settings, windows[0].length)
    os.environ |= own | {
        "TRANSAK_DRIFT_PLATFORM": "local",
        "TRANSAK_DRIFT_HOME": str(home),
        "TRANSAK_DRIFT_DRIFT_FROM": str(windows[QUIET_WINDOWS].first_day),
        "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "2",
        "DAGSTER_HOME": str(home / "dagster_home"),
    }
    if not as_json:
        output.console.print(
            "[bold]transak-drift demo[/]: synthetic transactions, everything else is real "
            "(statistics, Pub/Sub, daemon, training)"
        )
    try:
        with on_stop_signal(), ExitStack() as stack:
            progress = Console(quiet=True) if as_json else output.error_console
            report = _Loop(home, windows, progress, stack).run()
    except CommandFailedError as failure:
        output.print_error(f"demo failed: {failure}\nlogs: {home}")
        raise typer.Exit(1) from None
    if as_json:
        output.print_json(report)
    else:
        output.print_table(
            "Timeline", [_row(report, item) for item in report["windows"]], "nothing happened"
        )
        versions = f"{report['model_version_before']} -> {report['model_version_after']}"
        output.print_line(f"  model version {versions}: {report['promotion_reason']}")
        output.console.print("[bold green]the loop is closed: every step really happened[/]")
        output.print_line("look at it with", style="dim")
        output.print_line(dev_command(home, own))


def _demo_windows(config: MonitoringConfig) -> list[Window]:
    """Return the newest windows that have ended, as many as the demo monitors."""
    calendar = config.windows
    windows = [calendar.newest_ended(datetime.now(UTC))]
    while len(windows) < QUIET_WINDOWS + 1 + RECOVERY_WINDOWS:
        windows.insert(0, calendar.before(windows[0]))
    if windows[0].first_day < config.start_date:
        problem = f"is after {windows[0].first_day}, with which the demo begins"
        fault = ConfigFault("start_date", config.start_date, problem, "set an earlier day")
        raise ConfigError("the configuration", [fault])
    return windows


def _own_settings(settings: Settings, length: WindowLength) -> dict[str, str]:
    """Return what the processes of the demo need to know to monitor windows of a length.

    A longer window has about the rows of a day, if not fewer than can be, and so takes no more
    time.
    """
    own: dict[str, str] = {}
    if settings.monitoring_window is not None or length != "day":
        own["TRANSAK_DRIFT_MONITORING_WINDOW"] = length
    if length != "day":
        rows = max(MIN_ROWS_PER_DAY, settings.rows_per_day // _DAYS[length])
        own["TRANSAK_DRIFT_ROWS_PER_DAY"] = str(rows)
    return own


def _fresh_directory(directory: Path) -> Path:
    directory = directory.resolve()
    if directory.exists():
        if not (directory / _MARKER).exists():
            output.print_error(f"{directory} was not made by the demo; move it away first")
            raise typer.Exit(2)
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / _MARKER).touch()
    return directory


def dev_command(home: Path, own_settings: Mapping[str, str]) -> str:
    """Return a command line that shows what the demo made, also where nothing is on the PATH."""
    program = shlex.quote(str(Path(sys.executable).with_name("transak-drift")))
    settings = {
        "TRANSAK_DRIFT_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster_home"),
        **own_settings,
    }
    words = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return " ".join([*words, program, "dev"])


def _row(report: dict[str, Any], item: dict[str, Any]) -> dict[str, str]:
    drifts = item["window"] == report["drift_window"]
    return {
        "window": item["window"],
        "model": item["model_version"],
        **{
            f"{found['feature']}\n(limit {found['threshold']:g})": f"{found['distance']:.4f}"
            for found in item["features"]
        },
        "verdict": "DRIFT" if item["drifted"] else "ok",
        "message": report["message_id"] if drifts else "",
        "retrain\nrun": report["retrain_run_id"][:8] if drifts else "",
    }


class _Loop:
    """The steps on a Dagster instance of their own, with a real daemon.

    Each step checks that what it is about really happened, records it in the report, and says so.
    """

    def __init__(
        self, home: Path, windows: list[Window], progress: Console, stack: ExitStack
    ) -> None:
        settings = load_settings()
        self._windows = windows
        self._progress = progress
        self._config = settings.load_configs()[0]
        dagster_home = make_dagster_home(home / "dagster_home")
        self._instance = stack.enter_context(dg.DagsterInstance.from_config(str(dagster_home)))
        definitions = build_definitions(settings, [self._config])
        self._jobs = ModelJobs(self._instance, definitions, self._config)
        self._platform = platform_resource(settings).open(self._config)
        self._log_file = home / "daemon.log"
        self._services = stack.enter_context(DagsterServices(dagster_home, self._log_file))
        workspace = str(write_workspace(home))
        self._services.start("dagster-daemon", "run", "--workspace", workspace)
        self._report: dict[str, Any] = {"drift_window": windows[QUIET_WINDOWS].key, "windows": []}

    def run(self) -> dict[str, Any]:
        """Take the steps in order, and return what happened."""
        quiet, drifted = self._windows[:QUIET_WINDOWS], self._windows[QUIET_WINDOWS]
        later, length = self._windows[QUIET_WINDOWS + 1 :], drifted.length
        steps: dict[str, Callable[[], str]] = {
            "train the first model, apply the monitoring configuration": self._prepare,
            f"quiet {length}s": lambda: self._monitor(quiet),
            f"{drifted.key} drift is injected": lambda: self._monitor([drifted], drifts=True),
            "drift event and training": self._await_retraining,
            f"{length}s after the training": lambda: self._monitor(later),
        }
        for title, step in steps.items():
            with self._progress.status(title):
                outcome = step()
            output.print_line(f"{title}: {outcome}", to=self._progress)
        return self._report

    def _prepare(self) -> str:
        self._jobs.run(keys.PREPARE_JOB)
        model = self._platform.ensure_registered_model(self._config)
        if model.version is None or model.created:
            raise CommandFailedError("the first model was not registered by the run")
        applied = self._platform.apply_model_monitor(self._config)
        if applied.created or applied.changes:
            raise CommandFailedError("the configuration was not applied by the run")
        self._report["model_version_before"] = model.version
        return f"version {model.version}, monitor {self._config.model_monitor_id}"

    def _monitor(self, windows: Sequence[Window], *, drifts: bool = False) -> str:
        version = self._platform.ensure_registered_model(self._config).version or "none"
        for found in self._jobs.monitor(windows):
            if found.report is None:
                raise CommandFailedError(f"{found.window} has no report: {found.error}")
            if bool(found.report.result.drifted) != drifts:
                verdict = "did not drift" if drifts else "drifted"
                raise CommandFailedError(f"{found.window} {verdict}: {found.summary()}")
            if drifts:
                job = parse_monitoring_job_name(found.report.result.job_name)
                key = drift_event_key(job.model_monitor_id, job.monitoring_job_id)
                self._report |= {"drift_event": key, "message_id": found.message}
                if found.message is None:
                    raise CommandFailedError("the window drifted, but no message was published")
            item = {"window": found.window.key, "model_version": version, "drifted": drifts}
            self._report["windows"].append({**item, "features": found.features()})
            output.print_line(f"  {found.window.key} {found.summary()}", to=self._progress)
        return f"monitored with version {version}"

    def _await_retraining(self) -> str:
        key, before = self._report["drift_event"], self._report["model_version_before"]
        run = self._finished_run()
        event = run.tags.get(keys.DRIFT_EVENT_TAG)
        if event != key or run.status != dg.DagsterRunStatus.SUCCESS:
            raise CommandFailedError(f"retrain run {run.run_id} of {event}: {run.status.value}")
        found = read_records(self._instance, self._jobs.names.asset(keys.DRIFT_EVENT))
        records = [record for _, part in found for record in part]
        if not any(record.key == key and record.messages for record in records):
            raise CommandFailedError("the drift event was not recorded with its message")
        trained = newest_materialization(self._instance, self._jobs.names.asset(keys.TRAINED_MODEL))
        if trained is None:
            raise CommandFailedError("no training was recorded")
        after, reason = (str(trained.metadata[key].value) for key in ("champion after", "reason"))
        if after == before:
            raise CommandFailedError(f"not promoted: {reason}")
        self._report |= {
            "retrain_run_id": run.run_id,
            "model_version_after": after,
            "promotion_reason": reason,
        }
        return f"recorded, run {run.run_id[:8]}, version {before} -> {after}"

    def _approve(self) -> None:
        """Be the person whom the configuration asks for, once the drift event waits."""
        why, by = "the demo goes on", "transak-drift demo"
        with contextlib.suppress(UndecidableError):
            decide_event(
                self._instance,
                [self._config],
                self._report["drift_event"],
                Decision.approve,
                why,
                by,
            )

    def _finished_run(self) -> dg.DagsterRun:
        """Wait for the end of the one training that the drift event starts."""
        deadline = time.monotonic() + _RETRAIN_SECONDS
        retrain = dg.RunsFilter(job_name=self._jobs.names.name(keys.RETRAIN_JOB))
        while time.monotonic() < deadline:
            runs = self._instance.get_runs(retrain)
            if len(runs) > 1:
                raise CommandFailedError(f"{len(runs)} retrain runs for one drift event")
            if runs and runs[0].is_finished:
                return runs[0]
            if not runs and self._config.retrain_policy.approval == "manual":
                self._approve()
            if (ended := self._services.ended()) is not None:
                raise CommandFailedError(f"{ended}; see {self._log_file}")
            time.sleep(_POLL_SECONDS)
        raise CommandFailedError(f"no finished retrain run in {_RETRAIN_SECONDS} s")
