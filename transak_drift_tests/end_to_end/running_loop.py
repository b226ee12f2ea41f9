"""The loop as users run it, for tests: a real daemon, a real Pub/Sub server, a real instance."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import dagster as dg

from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.config.model_configs import MODELS_FOLDER, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_EVENT_TAG,
    RETRAIN_JOB,
    ModelNames,
)
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord, read_cursor
from transak_drift_tests.trigger.drift_messages import store_job

NAMES = ModelNames()

REPOSITORY = Path(__file__).parents[2]
# A run whose daemon died just as it launched it is found after a minute and launched again.
LIMIT = timedelta(seconds=300)

Found = TypeVar("Found")


class RunningLoop:
    """One monitored model on the local platform, in a directory of its own.

    Args:
        directory: an empty directory.
        config: keys of the configuration that differ from the repository's file.
        further: by file name, those of further models.
    """

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
        self.daemon_log = directory / "daemon.log"
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.dagster_home),
            "TRANSAK_DRIFT_CONFIG": str(self.config_file),
            "TRANSAK_DRIFT_HOME": str(self.home),
            "TRANSAK_DRIFT_ROWS_PER_DAY": "300",
            "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "1",
        }
        self.environment.pop("PUBSUB_EMULATOR_HOST", None)

    def __enter__(self) -> Self:
        self.instance = dg.DagsterInstance.from_config(str(self.dagster_home))
        self.server = ensure_embedded_pubsub(self.home / "pubsub")
        self.queue = TriggerQueue(connect(self.server.endpoint), self.config)
        self.queue.ensure_exists()
        self.daemon: subprocess.Popen[bytes] | None = None
        self._process_groups: list[int] = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for group in self._process_groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self.daemon is not None:
            self.daemon.wait()
        self.queue.close()
        self.server.close()
        self.instance.dispose()

    def start_daemon(self, *command: str) -> None:
        """Start the daemon.

        Args:
            command: a Python command line in place of the plain daemon's.
        """
        plain = ("-m", "dagster._daemon", "run", "--workspace", "workspace.yaml")
        with self.daemon_log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, *(command or plain)],
                cwd=REPOSITORY,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process_groups.append(self.daemon.pid)

    def message(
        self,
        job_id: str,
        *,
        days_ago: int = 1,
        config: MonitoringConfig | None = None,
        **distances: float,
    ) -> bytes:
        """Store a monitoring job that drifted, and return the body of the message that names it.

        Args:
            job_id: id of the monitoring job.
            days_ago: which day drifted.
            config: the model it is about; by default the first.
            distances: distance by feature; by default description 0.61.
        """
        start = datetime.combine(date.today() - timedelta(days=days_ago), datetime.min.time(), UTC)
        return store_job(
            self.home,
            config or self.config,
            job_id,
            distances or {"description": 0.61},
            end=start + timedelta(days=1),
        )

    def event_key(self, job_id: str) -> str:
        """Return the key of the drift event of a monitoring job."""
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
        """Count the messages of the trigger subscription that nobody has acknowledged."""
        return count_unacknowledged(self.home / "pubsub", self.queue.subscription)

    def wait_for(self, what: str, look: Callable[[], Found]) -> Found:
        """Return what `look` finds, as soon as it is true.

        Args:
            what: told when it does not come.
            look: is asked again and again.
        """
        deadline = time.monotonic() + LIMIT.total_seconds()
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.1)
        log = self.daemon_log.read_text(errors="replace")[-3_000:]
        raise AssertionError(f"{what} did not happen in {LIMIT}; the daemon's log ends:\n{log}")


def count_unacknowledged(pubsub_directory: Path, subscription: str) -> int:
    """Count what a subscription still holds, leased messages included.

    The API has no such call; the server's own database is read.
    """
    database = pubsub_directory / "pubsub.sqlite3"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM delivery JOIN subscription USING (subscription_id) "
            "WHERE subscription.name = ?",
            (subscription,),
        ).fetchone()
    return count
