"""Heartbeats of runs: a run whose machine is gone is found, marked as failed, and tried again.

Dagster's default run launcher cannot tell such a run from one that works: it would stay "started"
and hold up every later training.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from transak_drift.trigger.run_health import HEARTBEATS_MISSED, RunHealth

SENSOR_NAME = "run_health_sensor"


@contextmanager
def heartbeat(instance: dg.DagsterInstance, run_id: str, seconds: float) -> Generator[None]:
    """Write the heartbeat of a run for as long as this is open."""
    ended = threading.Event()

    def beat() -> None:
        try:
            # A run's tags would do as well, but each change rewrites the whole run.
            pair = {_key(run_id): datetime.now(UTC).isoformat()}
            instance.daemon_cursor_storage.set_cursor_values(pair)
        except Exception:
            logging.getLogger(__name__).warning("no heartbeat written", exc_info=True)

    def beat_on() -> None:
        while not ended.wait(seconds):
            beat()

    beat()
    thread = threading.Thread(target=beat_on, name="run-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def build_run_health_sensor(interval_seconds: int, heartbeat_seconds: float) -> dg.SensorDefinition:
    """Build the sensor that finds the runs which no worker carries.

    It launches nothing: Dagster's own retries do.
    """
    limit = HEARTBEATS_MISSED * heartbeat_seconds

    @dg.sensor(
        name=SENSOR_NAME,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Marks a run as failed that has had no heartbeat for {limit:g} seconds: its process "
            "or machine is gone. Dagster then tries it again."
        ),
    )
    def run_health_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        instance = context.instance
        runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        keys = {_key(run.run_id) for run in runs}
        found = instance.daemon_cursor_storage.get_cursor_values(keys)
        heartbeats = {key.removeprefix(_key("")): written for key, written in found.items()}
        health, dead = RunHealth.from_cursor(context.cursor).after_look(
            heartbeats, datetime.now(UTC), heartbeat_seconds
        )
        failed = 0
        for run_id in dead:
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status == dg.DagsterRunStatus.STARTED:
                reason = f"no heartbeat since {heartbeats[run_id]}: its process or machine is gone"
                instance.report_run_failed(run, f"Marked as failed: {reason}.")
                context.log.warning(f"run {run_id} of {run.job_name}: {reason}")
                failed += 1
        counts = f"{len(heartbeats)} running, {failed} without a worker"
        return dg.SensorResult(skip_reason=counts, cursor=health.model_dump_json())

    return run_health_sensor


def _key(run_id: str) -> str:
    return f"transak_drift/heartbeat/{run_id}"
