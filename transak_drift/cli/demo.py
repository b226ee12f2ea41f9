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
from typing import Annotated, Any

import dagster as dg
import typer
from rich.console import Console

from transak_drift.cli import output
from transak_drift.cli.dagster_home import QUIET_RUN, make_dagster_home, write_workspace
from transak_drift.cli.dagster_services import DagsterServices, on_stop_signal
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import read_records
from transak_drift.drift.drift_event import drift_event_key
from transak_drift.settings import load_settings

QUIET_DAYS = 4
RECOVERY_DAYS = 2
_RETRAIN_SECONDS = 150
_POLL_SECONDS = 0.5
_MARKER = "made-by-transak-drift-demo"
_SHOWN = {"feature", "metric", "distance", "threshold"}


class DemoFailedError(RuntimeError):
    """A step did not happen as it should."""


def demo(
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep what the demo made, to look at it.")
    ] = True,
    as_json: output.JsonOption = False,
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
        output.console.print(
            "[bold]transak-drift demo[/]: synthetic transactions, everything else is real "
            "(statistics, Pub/Sub, daemon, training)"
        )
    try:
        with on_stop_signal(_interrupt), ExitStack() as stack:
            progress = Console(quiet=True) if as_json else output.error_console
            report = _Loop(home, days, progress, stack).run()
    except DemoFailedError as failure:
        output.print_error(f"demo failed: {failure}\nlogs: {home}")
        raise typer.Exit(1) from None
    if as_json:
        output.print_json(report)
    else:
        output.print_table(
            "Timeline", [_row(report, day) for day in report["days"]], "nothing happened"
        )
        versions = f"{report['model_version_before']} -> {report['model_version_after']}"
        output.print_line(f"  model version {versions}: {report['promotion_reason']}")
        output.console.print("[bold green]the loop is closed: every step really happened[/]")
        if keep:
            output.print_line("look at it with", style="dim")
            output.print_line(dev_command(home))
    if not keep:
        shutil.rmtree(home)


def _interrupt() -> None:
    raise KeyboardInterrupt


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


def dev_command(home: Path) -> str:
    """Return a command line that shows what the demo made, also where nothing is on the PATH."""
    program = Path(sys.executable).with_name("transak-drift")
    variables = {"TRANSAK_DRIFT_HOME": home, "DAGSTER_HOME": home / "dagster_home"}
    settings = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
    return " ".join([*settings, shlex.quote(str(program)), "dev"])


def _row(report: dict[str, Any], day: dict[str, Any]) -> dict[str, str]:
    is_drift_day = day["day"] == report["drift_day"]
    return {
        "day": day["day"],
        "model": day["model_version"],
        **{
            f"{found['feature']}\n(limit {found['threshold']:g})": _distance(found["distance"])
            for found in day["features"]
        },
        "verdict": "DRIFT" if day["drifted"] else "ok",
        "message": report["message_id"] if is_drift_day else "",
        "retrain\nrun": report["retrain_run_id"][:8] if is_drift_day else "",
    }


def _distance(distance: float | None) -> str:
    return "-" if distance is None else f"{distance:.4f}"


class _Loop:
    """The steps on a Dagster instance of their own, with a real daemon.

    Each step checks that what it is about really happened, records it in the report, and says so.
    """

    def __init__(self, home: Path, days: list[date], progress: Console, stack: ExitStack) -> None:
        settings = load_settings()
        self._days = days
        self._progress = progress
        self._config = settings.load_configs()[0]
        self._names = keys.ModelNames.of(self._config)
        dagster_home = make_dagster_home(home / "dagster_home")
        self._instance = stack.enter_context(dg.DagsterInstance.from_config(str(dagster_home)))
        self._definitions = build_definitions(settings, [self._config])
        self._platform = platform_resource(settings).open(self._config)
        self._log_file = home / "daemon.log"
        self._services = stack.enter_context(DagsterServices(dagster_home, self._log_file))
        workspace = str(write_workspace(home))
        self._services.start("dagster-daemon", "run", "--workspace", workspace)
        self._report: dict[str, Any] = {"drift_day": str(days[QUIET_DAYS]), "days": []}

    def run(self) -> dict[str, Any]:
        """Take the steps in order, and return what happened."""
        quiet, later = self._days[:QUIET_DAYS], self._days[QUIET_DAYS + 1 :]
        self._step("train the first model, apply the monitoring configuration", self._prepare)
        for day in quiet:
            self._step(f"{day} quiet day", lambda day=day: self._monitor(day, drifts=False))
        self._step(f"{self._report['drift_day']} drift is injected", self._inject_drift)
        self._step("drift event and training", self._await_retraining)
        for day in later:
            self._step(
                f"{day} after the training", lambda day=day: self._monitor(day, drifts=False)
            )
        return self._report

    def _step(self, title: str, step: Callable[[], str]) -> None:
        with self._progress.status(title):
            outcome = step()
        output.print_line(f"{title}: {outcome}", to=self._progress)

    def _prepare(self) -> str:
        self._run_job(keys.PREPARE_JOB)
        model = self._platform.ensure_registered_model(self._config)
        if model.version is None or model.created:
            raise DemoFailedError("the first model was not registered by the run")
        applied = self._platform.apply_model_monitor(self._config)
        if applied.created or applied.changes:
            raise DemoFailedError("the configuration was not applied by the run")
        self._report["model_version_before"] = model.version
        return f"version {model.version}, monitor {self._config.model_monitor_id}"

    def _monitor(self, day: date, *, drifts: bool) -> str:
        self._run_job(keys.DAILY_MONITORING_JOB, str(day))
        job_name = str(self._metadata(keys.MONITORING_RUN)[keys.JOB_NAME_METADATA])
        result = self._platform.monitoring_result(self._config, job_name)
        if result is None:
            raise DemoFailedError(f"{day}: no result of {job_name}")
        distances = ", ".join(f"{f.feature} {_distance(f.distance)}" for f in result.features)
        if bool(result.drifted) != drifts:
            raise DemoFailedError(f"{day} {'did not drift' if drifts else 'drifted'}: {distances}")
        features = [
            {**feature.model_dump(include=_SHOWN), "drifted": feature.drifted}
            for feature in result.features
        ]
        version = self._platform.ensure_registered_model(self._config).version or "none"
        self._report["days"].append(
            {"day": str(day), "model_version": version, "drifted": drifts, "features": features}
        )
        return distances

    def _inject_drift(self) -> str:
        distances = self._monitor(self._days[QUIET_DAYS], drifts=True)
        metadata = self._metadata(keys.MONITORING_RUN)
        message = metadata.get(keys.MESSAGE_METADATA)
        if message is None:
            raise DemoFailedError("the day drifted, but no message was published")
        monitor, job = str(metadata[keys.JOB_NAME_METADATA]).split("/")[-3::2]
        self._report |= {"drift_event": drift_event_key(monitor, job), "message_id": str(message)}
        return f"{distances}, message {message}"

    def _await_retraining(self) -> str:
        key, before = self._report["drift_event"], self._report["model_version_before"]
        run = self._finished_run(dg.RunsFilter(tags={keys.DRIFT_EVENT_TAG: key}))
        if run.status != dg.DagsterRunStatus.SUCCESS:
            raise DemoFailedError(f"retrain run {run.run_id} ended as {run.status.value}")
        found = read_records(self._instance, self._names.asset(keys.DRIFT_EVENT))
        records = [record for _, part in found for record in part]
        if not any(record.key == key and record.messages for record in records):
            raise DemoFailedError("the drift event was not recorded with its message")
        count = self._instance.get_runs_count(
            dg.RunsFilter(job_name=self._names.name(keys.RETRAIN_JOB))
        )
        if count != 1:
            raise DemoFailedError(f"{count} retrain runs for one drift event")
        training = self._metadata(keys.TRAINED_MODEL)
        after, reason = str(training["champion after"]), str(training["reason"])
        if after == before:
            raise DemoFailedError(f"not promoted: {reason}")
        self._report |= {
            "retrain_run_id": run.run_id,
            "model_version_after": after,
            "promotion_reason": reason,
        }
        return f"recorded, run {run.run_id[:8]}, version {before} -> {after}"

    def _finished_run(self, tagged: dg.RunsFilter) -> dg.DagsterRun:
        deadline = time.monotonic() + _RETRAIN_SECONDS
        while time.monotonic() < deadline:
            for run in self._instance.get_runs(tagged):
                if run.is_finished:
                    return run
            ended = self._services.ended()
            if ended is not None:
                raise DemoFailedError(f"{ended}; see {self._log_file}")
            time.sleep(_POLL_SECONDS)
        raise DemoFailedError(f"no finished retrain run in {_RETRAIN_SECONDS} s")

    def _run_job(self, name: str, partition_key: str | None = None) -> None:
        outcome = self._definitions.resolve_job_def(self._names.name(name)).execute_in_process(
            run_config=QUIET_RUN,
            instance=self._instance,
            partition_key=partition_key,
            raise_on_error=False,
        )
        if not outcome.success:
            raise DemoFailedError(f"job {name} failed, run {outcome.run_id}")

    def _metadata(self, asset: str) -> dict[str, Any]:
        """Return the metadata of an asset's newest materialization."""
        event = self._instance.get_latest_materialization_event(self._names.asset(asset))
        materialization = event.asset_materialization if event else None
        if materialization is None:
            raise DemoFailedError(f"{asset} was not materialized")
        return {name: value.value for name, value in materialization.metadata.items()}
