"""The loop as users run it, for tests: a real daemon, a real Pub/Sub server, a real instance."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import dagster as dg

from transak_drift.cli.dagster_home import (
    CODE_LOCATION,
    CODE_MODULE,
    make_dagster_home,
    write_workspace,
)
from transak_drift.config.model_configs import MODELS_FOLDER, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import DRIFT_EVENT, DRIFT_EVENT_TAG, RETRAIN_JOB, ModelNames
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord, read_cursor
from transak_drift_tests.trigger.drift_messages import store_job
from transak_drift_tests.warm_processes import REPOSITORY, WarmProcess, run_code_server

NAMES = ModelNames()
LIMIT = timedelta(seconds=240)
INTERVAL_VARIABLE = "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS"

Found = TypeVar("Found")


class DagsterProcesses:
    """A code server and a daemon, as `transak-drift dev` starts them."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        code_server: Callable[..., None] = run_code_server,
    ) -> None:
        self._run_code_server = code_server
        # The path of a socket must be short.
        self._sockets = Path(tempfile.mkdtemp(prefix="transak-drift-"))
        self._socket = self._sockets / "code_location.sock"
        self.workspace = write_workspace(directory, self._socket)
        self.log_file = directory / "dagster.log"
        self._environment = environment
        self._code_server: WarmProcess | None = None
        self.daemon: WarmProcess | None = None

    def start_code_server(self) -> None:
        arguments = (self._socket, self.log_file, CODE_MODULE, CODE_LOCATION)
        self._code_server = self.run(self._run_code_server, *arguments)
        self.wait_for("a code server", self._socket.exists)

    def start_daemon(self, crash_point: str = "", run_key: str = "") -> None:
        """Start the daemon, which may be one that kills itself; see `_kill_at`."""
        if self._code_server is None:
            self.start_code_server()
        self.daemon = self.run(_run_daemon, self.workspace, crash_point, run_key)

    def run(self, target: Callable[..., object], *arguments: object) -> WarmProcess:
        """Start a further process in the same surroundings."""
        environment = self._environment
        return WarmProcess(target, *arguments, environment=environment, log_file=self.log_file)

    def kill(self) -> None:
        """Kill everything, the runs too, as the end of the machine does."""
        for process in (self.daemon, self._code_server):
            if process is not None:
                process.kill()
        self._socket.unlink(missing_ok=True)
        self.daemon = self._code_server = None

    def close(self) -> None:
        """Kill everything, and leave nothing."""
        self.kill()
        shutil.rmtree(self._sockets)

    def wait_for(self, what: str, look: Callable[[], Found | None]) -> Found:
        """Return what `look` finds, as soon as it is true."""
        deadline = time.monotonic() + LIMIT.total_seconds()
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.1)
        log = self.log_file.read_text(errors="replace")[-3_000:]
        raise AssertionError(f"{what} did not happen in {LIMIT}; Dagster's log ends:\n{log}")


def _run_daemon(workspace: Path, crash_point: str, run_key: str) -> None:
    from dagster._daemon.cli import cli

    if os.environ.get(INTERVAL_VARIABLE) == "1":
        _hurry()
    if crash_point:
        _kill_at(crash_point, run_key)
    cli(["run", "--workspace", str(workspace)], prog_name="dagster-daemon")


def _hurry() -> None:
    """Let this daemon's loops, which rest for five seconds and more, rest for one."""
    from dagster._daemon import daemon, sensor

    vars(sensor)["MIN_INTERVAL_LOOP_TIME"] = 1
    interval = property(lambda self: 1, lambda self, seconds: None)
    setattr(daemon.IntervalDaemon, "interval_seconds", interval)  # noqa: B010


def _kill_at(point: str, run_key: str) -> None:
    """Make this daemon kill itself once a tick has requested a run key.

    The points are those that Dagster marks for its own crash tests.
    """
    from dagster._daemon import sensor

    requested: set[str] = set()
    original = sensor.SensorLaunchContext.set_run_requests

    def remember(self: Any, run_requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        requested.update(str(request.run_key) for request in run_requests)
        return original(self, run_requests, *args, **kwargs)

    def crash(debug_crash_flags: Mapping[str, int | Exception] | None, key: str) -> None:
        if key == point and (run_key in requested or point == "TICK_HELD"):
            os.kill(os.getpid(), signal.SIGKILL)

    sensor.SensorLaunchContext.set_run_requests = remember
    vars(sensor)["check_for_debug_crash"] = crash


class RunningLoop:
    """One monitored model on the local platform, in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | None = None,
        further: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.config_file = directory / "monitoring_config.json"
        folder = directory / MODELS_FOLDER
        for file, changes in {
            self.config_file: config or {},
            **{folder / name: changes for name, changes in (further or {}).items()},
        }.items():
            document = json.loads((REPOSITORY / "monitoring_config.json").read_text())
            # Small trainings: what is tested is when they run, not how long.
            document.update({"maximum_training_days": 2, **changes})
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(document))
        self.configs: tuple[MonitoringConfig, ...] = load_configs(self.config_file)
        self.config: MonitoringConfig = self.configs[0]
        self.home = directory / "state"
        self.dagster_home = make_dagster_home(directory / "dagster_home")
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.dagster_home),
            "TRANSAK_DRIFT_CONFIG": str(self.config_file),
            "TRANSAK_DRIFT_HOME": str(self.home),
            "TRANSAK_DRIFT_ROWS_PER_DAY": "300",
            INTERVAL_VARIABLE: "1",
        }
        self.environment.pop("PUBSUB_EMULATOR_HOST", None)
        self.dagster = DagsterProcesses(directory, self.environment)
        self.start_daemon = self.dagster.start_daemon
        self.wait_for = self.dagster.wait_for

    def __enter__(self) -> Self:
        self.instance = dg.DagsterInstance.from_config(str(self.dagster_home))
        self.server = ensure_embedded_pubsub(self.home / "pubsub")
        self.queue = TriggerQueue(connect(self.server.endpoint), self.config)
        self.queue.ensure_exists()
        return self

    def __exit__(self, *raised: object) -> None:
        self.dagster.close()
        self.queue.close()
        self.server.close()
        self.instance.dispose()

    def message(
        self, job_id: str, *, config: MonitoringConfig | None = None, **distances: float
    ) -> bytes:
        """Store what a job found about yesterday, and return the body of the message about it."""
        today = datetime.combine(date.today(), datetime.min.time(), UTC)
        found = distances or {"description": 0.61}
        return store_job(self.home, config or self.config, job_id, found, end=today)

    def event_key(self, job_id: str) -> str:
        return f"{self.config.model_monitor_id}/{job_id}"

    def trainings(self, job_id: str | None = None) -> list[dg.DagsterRun]:
        """Return the retrain runs, of one drift event or of all."""
        tags = {} if job_id is None else {DRIFT_EVENT_TAG: self.event_key(job_id)}
        return list(self.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB, tags=tags)))

    def started_trainings(self, job_id: str) -> int:
        """Count the retrain runs of a drift event whose worker began to work."""
        tags = {DRIFT_EVENT_TAG: self.event_key(job_id)}
        records = self.instance.get_run_records(dg.RunsFilter(job_name=RETRAIN_JOB, tags=tags))
        return sum(record.start_time is not None for record in records)

    def trained(self, job_id: str) -> bool:
        """Tell whether a drift event's training ended well."""
        return any(run.status == dg.DagsterRunStatus.SUCCESS for run in self.trainings(job_id))

    def records(self) -> list[TriggerRecord]:
        """Return the trigger's records of the first model, oldest first."""
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT), limit=1_000)
        return [record for _, records in found for record in records]

    def sensor_state(self) -> Inbox | None:
        """Return what the sensor remembers of the first model, or None before its first tick."""
        for state in self.instance.all_instigator_state():
            if state.instigator_name == SENSOR_NAME and state.instigator_data is not None:
                cursor = getattr(state.instigator_data, "cursor", None)
                return read_cursor(cursor).get(self.config.model_monitor_id) if cursor else None
        return None

    def nothing_waits(self) -> bool:
        """Whether the sensor's cursor, which a tick stores last, awaits no run and no job."""
        inbox = self.sensor_state()
        return inbox is not None and all(
            item.kind == OutcomeKind.HELD for item in inbox.open.values()
        )

    def unacknowledged(self) -> int:
        return count_unacknowledged(self.home / "pubsub", self.queue.subscription)


def count_unacknowledged(pubsub_directory: Path, subscription: str) -> int:
    """Count what a subscription still holds, leased messages included."""
    return len(undelivered(pubsub_directory / "pubsub.sqlite3", subscription, "message_id"))


def undelivered(
    database: Path, subscription: str, columns: str = "message_id, content"
) -> list[tuple[Any, ...]]:
    """Return every message that a subscription holds, leased ones too.

    The API has no such call; the embedded server's own database is read.
    """
    query = (
        f"SELECT {columns} FROM delivery "
        "JOIN subscription USING (subscription_id) WHERE subscription.name = ?"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, (subscription,)).fetchall()
