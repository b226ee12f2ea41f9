"""Evaluations of the sensor in a process of its own, as Dagster's code server makes them.

At every boundary of the tick - before and after each call to Pub/Sub, to the platform and to
Dagster's storage - the process tells its parent where it is and waits for leave to go on. The
parent may kill it there, or break something first.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from google.pubsub_v1 import PublisherClient, SubscriberClient

from transak_drift.config.monitoring_config import parse_config
from transak_drift.defs import drift_event_log
from transak_drift.defs import drift_message_sensor as sensor_module
from transak_drift.defs.drift_message_sensor import TickBounds, build_drift_message_sensor
from transak_drift.defs.local_resources import LocalPlatformResource, LocalTriggerQueueResource
from transak_drift.defs.platform_resource import EMULATOR_VARIABLE
from transak_drift.defs.training import retrain_job
from transak_drift.local.platform import LocalPlatform
from transak_drift_tests.warm_processes import forked

# Every call of a tick that leaves the process.
CALLS: tuple[tuple[type, str], ...] = (
    (SubscriberClient, "get_subscription"),
    (SubscriberClient, "pull"),
    (PublisherClient, "publish"),
    (SubscriberClient, "acknowledge"),
    (LocalPlatform, "own_monitors"),
    (LocalPlatform, "read_monitoring_job"),
    (dg.DagsterInstance, "report_runless_asset_event"),
    (dg.DagsterInstance, "fetch_observations"),
    (dg.DagsterInstance, "get_run_records"),
    (dg.DagsterInstance, "get_runs_count"),
    (dg.DagsterInstance, "get_latest_materialization_event"),
)
# Storage that is locked is given up after so long, in place of Dagster's half minute.
STORAGE_PATIENCE_SECONDS = 0.2
# The embedded server answers an empty pull after half of so short a wait.
_BOUNDS = TickBounds(messages=5_000, wait_seconds=0.3)

At = Callable[[str], bool | Exception]
"""Told a boundary: whether to go on, or else be killed there; or what the call raises."""


class Evaluated(NamedTuple):
    """What the sensor returned, and the daemon makes durable: run keys with tags, and a cursor."""

    requests: tuple[tuple[str, dict[str, str]], ...]
    cursor: str


class SensorFailedError(Exception):
    """The evaluation raised an exception; the daemon keeps the cursor and tries again."""


class SensorProcess:
    """The process that evaluates the sensor, tick after tick; another one once it was killed."""

    def __init__(self, config: str, dagster_home: Path, state: Path, endpoint: str) -> None:
        self._surroundings = (config, str(dagster_home), str(state), endpoint)
        self._start()

    def _start(self) -> None:
        self._connection, theirs = forked.Pipe()
        self._process = forked.Process(target=_serve, args=(theirs, *self._surroundings))
        self._process.daemon = True
        self._process.start()
        theirs.close()

    def evaluate(self, cursor: str | None, clock_seconds: float, at: At) -> Evaluated | None:
        """Evaluate the sensor once; None where its process was killed."""
        self._connection.send((cursor, clock_seconds))
        while True:
            kind, content = self._connection.recv()
            if kind == "returned":
                return content
            if kind == "failed":
                raise SensorFailedError(content)
            answer = at(content)
            if answer is False:
                self.kill()
                self._start()
                return None
            self._connection.send(answer)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL
        self._connection.close()


def _serve(parent: Connection, text: str, dagster_home: str, state: str, endpoint: str) -> None:
    turn = threading.Lock()

    def boundary(name: str) -> None:
        # Calls that are made at once wait for their turn.
        with turn:
            parent.send(("at", name))
            answer = parent.recv()
        if isinstance(answer, Exception):
            raise answer

    for owner, name in CALLS:
        _mark(owner, name, boundary)
    for module in (sqlite_event_log, sqlite_run_storage):
        vars(module)["SQLITE_BUSY_TIMEOUT_SECONDS"] = STORAGE_PATIENCE_SECONDS
    vars(sensor_module)["datetime"] = _SetDatetime
    # What was written in so many seconds before, each tick reads again.
    vars(drift_event_log)["_COMMIT_SECONDS"] = 1.0
    os.environ[EMULATOR_VARIABLE] = endpoint
    config = parse_config(text, "test")
    sensor = build_drift_message_sensor([config], [retrain_job(config)], 60, _BOUNDS)
    queue = LocalTriggerQueueResource(state_directory="unused")
    platform = LocalPlatformResource(
        trigger_queue=queue, state_directory=state, seed=7, rows_per_day=100
    )
    resources = {"trigger_queue": queue, "platform": platform}
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        while True:
            cursor, clock_seconds = parent.recv()
            _SetDatetime.added = timedelta(seconds=clock_seconds)
            try:
                with dg.build_sensor_context(instance, cursor, resources=resources) as context:
                    result: Any = sensor(context)
                boundary("before return")
                requests = tuple((item.run_key, dict(item.tags)) for item in result.run_requests)
                parent.send(("returned", Evaluated(requests, result.cursor)))
            except Exception as error:
                parent.send(("failed", f"{type(error).__name__}: {error}"))


def _mark(owner: type, name: str, boundary: Callable[[str], None]) -> None:
    original = getattr(owner, name)

    def marked(*args: Any, **kwargs: Any) -> Any:
        boundary(f"before {name}")
        try:
            return original(*args, **kwargs)
        finally:
            boundary(f"after {name}")

    setattr(owner, name, marked)


class _SetDatetime(datetime):
    added = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _SetDatetime:
        return super().now(tz) + cls.added
