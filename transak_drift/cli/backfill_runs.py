"""The runs of a backfill, executed in this process on the user's own Dagster instance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.history import history_read_until
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    MODEL_TAG,
    MONITORING_RUN,
    PREPARE_JOB,
    ModelNames,
)
from transak_drift.defs.recorded_reports import newest_record, read_drift_history, recorded_day
from transak_drift.drift.drift_history import DriftHistory, RecordedDay
from transak_drift.settings import Settings

BACKFILL_TAG = "transak_drift/backfill"

# The run's log goes to the Dagster instance all the same.
_QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class BackfillError(RuntimeError):
    """A run without which no day can be monitored has failed."""


@dataclass(frozen=True, slots=True)
class MonitoredDay:
    """What became of one day.

    Args:
        day: the day.
        report: its report, or None where it failed or its monitoring job still runs.
        message: id of the drift message that was published, or None.
        error: why the day failed, or an empty string.
        run_id: the Dagster run.
    """

    day: date
    report: RecordedDay | None
    message: str | None
    error: str
    run_id: str


class BackfillRuns:
    """Runs the jobs of one model; the definitions are built once for all days.

    Args:
        settings: the process's settings.
        config: the monitored model.
        instance: the Dagster instance.
        label: names this backfill in the tags of its runs.
    """

    def __init__(
        self,
        settings: Settings,
        config: MonitoringConfig,
        instance: dg.DagsterInstance,
        label: str,
    ) -> None:
        self._settings = settings
        self._config = config
        self._names = ModelNames.of(config)
        self._instance = instance
        self._definitions = build_definitions(settings, [config])
        self._tags = {BACKFILL_TAG: label, MODEL_TAG: config.model_name}

    def prepare(self) -> None:
        """Find the model and apply the monitoring configuration where none is applied.

        Raises:
            BackfillError: the run failed.
        """
        platform = platform_resource(self._settings).open(self._config)
        if platform.overview(self._config).model_monitor is None:
            self._run(self._names.name(PREPARE_JOB))

    def monitor(self, day: date) -> MonitoredDay:
        """Monitor one day.

        Args:
            day: the day.

        Returns:
            What became of it; a failure is no exception, since the next day may succeed.
        """
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

    def refresh_history(self) -> DriftHistory:
        """Materialize the drift history, unless it has each report already.

        Returns:
            The history, of all days that have a report.

        Raises:
            BackfillError: the run failed.
        """
        read_until = history_read_until(self._instance, self._names)
        if newest_record(self._instance, self._names) > read_until:
            self._run(self._names.name(DRIFT_HISTORY_JOB))
        return read_drift_history(self._instance, self._names)

    def _run(self, job: str) -> None:
        outcome = self._execute(job, None)
        if not outcome.success:
            raise BackfillError(f"job {job} failed, run {outcome.run_id}: {_failure(outcome)}")

    def _execute(self, job: str, partition_key: str | None) -> dg.ExecuteInProcessResult:
        return self._definitions.resolve_job_def(job).execute_in_process(
            run_config=_QUIET_RUN,
            instance=self._instance,
            partition_key=partition_key,
            tags=self._tags,
            raise_on_error=False,
        )


def _failure(outcome: dg.ExecuteInProcessResult) -> str:
    for event in outcome.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return failure.user_failure_data.description
        if failure.error is not None:
            cause = failure.error.cause or failure.error
            return cause.message.strip()
    return f"run {outcome.run_id} failed; see its log in the Dagster UI"
