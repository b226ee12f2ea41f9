"""Heartbeats of runs: a run whose machine is gone is found, marked as failed, and tried again.

Dagster's default run launcher cannot tell such a run from one that works: it would stay "started"
and hold up every later training.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from transak_drift.trigger.run_health import HEARTBEATS_MISSED, RunHealth

# Dagster gives these four no public name, though its public `Executor` names them.
if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.retries import RetryMode
    from dagster._core.execution.step_dependency_config import StepDependencyConfig

SENSOR_NAME = "run_health_sensor"


def heartbeat_executor(heartbeat_seconds: float) -> dg.ExecutorDefinition:
    """Build the executor of every run: Dagster's `in_process`, with a heartbeat."""
    plain = dg.in_process_executor
    create = plain.executor_creation_fn
    assert create is not None
    return dg.ExecutorDefinition(
        name=plain.name,
        config_schema=plain.config_schema.as_field(),
        executor_creation_fn=lambda context: _HeartbeatExecutor(create(context), heartbeat_seconds),
    )


class _HeartbeatExecutor(dg.Executor):
    def __init__(self, executor: dg.Executor, heartbeat_seconds: float) -> None:
        self._executor = executor
        self._heartbeat_seconds = heartbeat_seconds

    @property
    def retries(self) -> RetryMode:
        return self._executor.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        return self._executor.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        run_id = plan_context.dagster_run.run_id
        with _heartbeat(plan_context.instance, run_id, self._heartbeat_seconds):
            yield from self._executor.execute(plan_context, execution_plan)


@contextmanager
def _heartbeat(instance: dg.DagsterInstance, run_id: str, seconds: float) -> Generator[None]:
    ended = threading.Event()

    def beat() -> None:
        while True:
            try:
                # A run's tags would do as well, but each change rewrites the whole run.
                pair = {_key(run_id): datetime.now(UTC).isoformat()}
                instance.daemon_cursor_storage.set_cursor_values(pair)
            except Exception:
                logging.getLogger(__name__).warning("no heartbeat written", exc_info=True)
            if ended.wait(seconds):
                return

    thread = threading.Thread(target=beat, name="run-heartbeat", daemon=True)
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
        runs = context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        heartbeats = _heartbeats(context.instance, [run.run_id for run in runs])
        health, dead = RunHealth.from_cursor(context.cursor).after_look(
            heartbeats, datetime.now(UTC), heartbeat_seconds
        )
        failed = []
        for run_id in dead:
            run = context.instance.get_run_by_id(run_id)
            if run is not None and run.status == dg.DagsterRunStatus.STARTED:
                reason = f"no heartbeat since {heartbeats[run_id]}: its process or machine is gone"
                context.instance.report_run_failed(run, f"Marked as failed: {reason}.")
                context.log.warning(f"run {run_id} of {run.job_name}: {reason}")
                failed.append(run_id)
        counts = f"{len(heartbeats)} running, {len(failed)} without a worker"
        return dg.SensorResult(skip_reason=counts, cursor=health.model_dump_json())

    return run_health_sensor


def _heartbeats(instance: dg.DagsterInstance, run_ids: list[str]) -> dict[str, str]:
    """Return the newest heartbeat of each run that has one."""
    if not run_ids:
        return {}
    found = instance.daemon_cursor_storage.get_cursor_values({_key(item) for item in run_ids})
    return {item: found[_key(item)] for item in run_ids if _key(item) in found}


def _key(run_id: str) -> str:
    return f"transak_drift/heartbeat/{run_id}"
