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
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from multiprocessing.connection import Connection
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from google.pubsub_v1 import PublisherClient, SubscriberClient

from transak_drift.config.monitoring_config import parse_config
from transak_drift.defs import drift_event_log
from transak_drift.defs import drift_message_sensor as sensor_module
from transak_drift.defs.drift_message_sensor import TickBounds, build_drift_message_sensor
from transak_drift.defs.local_resources import (
    EMULATOR_VARIABLE,
    LocalPlatformResource,
    LocalTriggerQueueResource,
)
from transak_drift.defs.training import retrain_job
from transak_drift.local.platform import LocalPlatform
from transak_drift.platform import TemporaryPlatformError
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
WAIT_SECONDS = 0.3
_INTERVAL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluation of the sensor takes."""

    config: str
    endpoint: str
    state_directory: str
    cursor: str | None
    bounds: TickBounds
    clock_seconds: float = 0.0
    platform_answers: bool = True


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What the sensor returned, and the daemon makes durable."""

    cursor: str
    requests: tuple[tuple[str, dict[str, str]], ...]


class SensorFailedError(Exception):
    """The evaluation raised an exception; the daemon keeps the cursor and tries again."""


class SensorProcesses:
    """The process that evaluates the sensor, tick after tick, and the one that follows it."""

    def __init__(self, dagster_home: str) -> None:
        self._dagster_home = dagster_home
        self._current = _Child(dagster_home)
        self._next = _Child(dagster_home)

    def evaluate(self, evaluation: Evaluation, at: Callable[[str], bool]) -> Evaluated | None:
        """Evaluate the sensor once; None where its process was killed.

        `at` is told each boundary: whether the process may go on, or else it is killed there.
        """
        connection = self._current.connection
        connection.send(evaluation)
        while True:
            kind, content = connection.recv()
            if kind == "returned":
                return content
            if kind == "failed":
                raise SensorFailedError(content)
            if not at(content):
                self._current.kill()
                self._current, self._next = self._next, _Child(self._dagster_home)
                return None
            connection.send("go on")

    def close(self) -> None:
        """Kill both processes."""
        self._current.kill()
        self._next.kill()


class _Child:
    def __init__(self, dagster_home: str) -> None:
        self.connection, theirs = forked.Pipe()
        self._process = forked.Process(target=_serve, args=(dagster_home, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def kill(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL
        self.connection.close()


def _serve(dagster_home: str, parent: Connection) -> None:
    turn = threading.Lock()

    def boundary(name: str) -> None:
        # Calls that are made at once wait for their turn.
        with turn:
            parent.send(("at", name))
            parent.recv()

    _make_platform_fail_on_demand()
    for owner, name in CALLS:
        _mark(owner, name, boundary)
    vars(sqlite_event_log)["SQLITE_BUSY_TIMEOUT_SECONDS"] = STORAGE_PATIENCE_SECONDS
    vars(sqlite_run_storage)["SQLITE_BUSY_TIMEOUT_SECONDS"] = STORAGE_PATIENCE_SECONDS
    vars(sensor_module)["datetime"] = _SetDatetime
    # What was written in so many seconds before, each tick reads again.
    vars(drift_event_log)["_COMMIT_SECONDS"] = 1.0
    with dg.DagsterInstance.from_config(dagster_home) as instance:
        while True:
            evaluation: Evaluation = parent.recv()
            try:
                parent.send(("returned", _evaluate(evaluation, instance, boundary)))
            except Exception as error:
                parent.send(("failed", f"{type(error).__name__}: {error}"))


def _evaluate(
    evaluation: Evaluation, instance: dg.DagsterInstance, boundary: Callable[[str], None]
) -> Evaluated:
    os.environ[EMULATOR_VARIABLE] = evaluation.endpoint
    _SetDatetime.added = timedelta(seconds=evaluation.clock_seconds)
    _Outage.lasts = not evaluation.platform_answers
    queue = LocalTriggerQueueResource(state_directory="unused")
    platform = LocalPlatformResource(
        trigger_queue=queue,
        state_directory=evaluation.state_directory,
        seed=7,
        rows_per_day=100,
    )
    config = parse_config(evaluation.config, "test")
    sensor = build_drift_message_sensor(
        [config], [retrain_job(config)], _INTERVAL_SECONDS, evaluation.bounds
    )
    with dg.build_sensor_context(
        instance=instance,
        cursor=evaluation.cursor,
        resources={"trigger_queue": queue, "platform": platform},
    ) as context:
        result: Any = sensor(context)
        boundary("before return")
        return Evaluated(
            cursor=result.cursor,
            requests=tuple((item.run_key, dict(item.tags)) for item in result.run_requests),
        )


def _mark(owner: type, name: str, boundary: Callable[[str], None]) -> None:
    original = getattr(owner, name)

    def marked(*args: Any, **kwargs: Any) -> Any:
        boundary(f"before {name}")
        try:
            return original(*args, **kwargs)
        finally:
            boundary(f"after {name}")

    setattr(owner, name, marked)


class _Outage:
    lasts = False


def _make_platform_fail_on_demand() -> None:
    original = LocalPlatform.read_monitoring_job

    def read(*args: Any) -> Any:
        if _Outage.lasts:
            raise TemporaryPlatformError("the platform does not answer")
        return original(*args)

    setattr(LocalPlatform, "read_monitoring_job", read)  # noqa: B010 - the type checker minds


class _SetDatetime(datetime):
    added = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _SetDatetime:
        return super().now(tz) + cls.added
