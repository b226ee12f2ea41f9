"""The runs of a backfill, executed by worker processes beside each other."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import dagster as dg

from transak_drift.cli.dagster_home import dagster_home
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    MODEL_TAG,
    MONITORING_RUN,
    PREPARE_JOB,
    ModelNames,
)
from transak_drift.defs.metadata import failure_message
from transak_drift.defs.recorded_reports import recorded_day
from transak_drift.drift.drift_history import RecordedDay
from transak_drift.settings import Settings

BACKFILL_TAG = "transak_drift/backfill"

# The run's log goes to the Dagster instance all the same.
_QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_PLATFORM_MODULES = {
    "local": ("transak_drift.local.platform", "transak_drift.local.trainer"),
    "gcp": ("transak_drift.vertex.platform",),
}

Result = TypeVar("Result")


class BackfillError(RuntimeError):
    """A run without which no day can be monitored has failed."""


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


@dataclass(frozen=True)
class BackfillRuns:
    """Runs the jobs of one model in the process that it is sent to.

    Args:
        settings: of the project.
        config: of the model.
        label: tag of every run.
    """

    settings: Settings
    config: MonitoringConfig
    label: str

    @cached_property
    def _definitions(self) -> dg.Definitions:
        return build_definitions(self.settings, [self.config])

    @cached_property
    def _instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(dagster_home(self.settings.home)))

    @property
    def _names(self) -> ModelNames:
        return ModelNames.of(self.config)

    def prepare(self) -> None:
        """Find the model and apply the configuration."""
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

    def refresh_history(self) -> None:
        """Materialize the drift history."""
        self._run(self._names.name(DRIFT_HISTORY_JOB))

    def _run(self, job: str) -> None:
        outcome = self._execute(job, None)
        if not outcome.success:
            raise BackfillError(f"job {job} failed, run {outcome.run_id}: {_failure(outcome)}")

    def _execute(self, job: str, partition_key: str | None) -> dg.ExecuteInProcessResult:
        return self._definitions.resolve_job_def(job).execute_in_process(
            run_config=_QUIET_RUN,
            instance=self._instance,
            partition_key=partition_key,
            tags={BACKFILL_TAG: self.label, MODEL_TAG: self.config.model_name},
            raise_on_error=False,
        )


class Workers:
    """Processes that run the jobs; leaving the context waits for the days that have begun.

    A Ctrl-C does not reach them, so that no run is broken off, and they end with their parent.

    Args:
        runs: what they run.
        count: how many there are at most; never more than processors.
    """

    def __init__(self, runs: BackfillRuns, count: int) -> None:
        context = multiprocessing.get_context("forkserver")
        # Imported once for all workers; each would take seconds for it.
        context.set_forkserver_preload([__name__, *_PLATFORM_MODULES[runs.settings.platform]])
        self._pool = ProcessPoolExecutor(
            max_workers=max(1, min(count, os.cpu_count() or 1)),
            mp_context=context,
            initializer=_begin_work,
            initargs=(runs, dict(os.environ)),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Start a method of `BackfillRuns` in a worker."""
        # A new process inherits the mask: no signal meets it while it imports.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            return self._pool.submit(_work, work, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_work(runs: BackfillRuns, environment: dict[str, str]) -> None:
    global _runs
    _runs = runs
    # The process that it was forked from may have begun with another environment, and so with
    # another Dagster instance.
    os.environ.clear()
    os.environ.update(environment)
    # What was imported lives as long as the process: no collection has to look through it.
    gc.freeze()
    # Dagster ends processes of its own by SIGTERM, so that the mask must not stay. What came until
    # here is dropped; from here on a terminal's Ctrl-C is sent to another process group.
    os.setpgrp()
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.signal(number, handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


_runs: BackfillRuns


def _work(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(_runs, *arguments)


def _failure(outcome: dg.ExecuteInProcessResult) -> str:
    for event in outcome.filter_events(lambda event: event.is_step_failure):
        if (message := failure_message(event)) is not None:
            return message.strip()
    return f"run {outcome.run_id} failed; see its log in the Dagster UI"
