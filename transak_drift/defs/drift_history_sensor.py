"""Sensor: refreshes the drift history after each new report or baseline."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_history import history_read_until
from transak_drift.defs.jobs import AssetJob
from transak_drift.defs.names import ModelNames
from transak_drift.defs.recorded_reports import newest_record

SENSOR_NAME = "drift_history_sensor"

# Nobody waits for the history: many reports in a row are one refresh.
LEAST_INTERVAL_SECONDS = 60

# A run whose process was killed may seem to run for ever.
_LONGEST_DAY = timedelta(hours=1)


def build_drift_history_sensor(
    config: MonitoringConfig, job: AssetJob, interval_seconds: int
) -> dg.SensorDefinition:
    """Build the sensor.

    It needs no cursor, which could be lost: the history itself records up to which record it has
    read. An automation condition would miss a report that was recorded before its first tick.

    Args:
        config: the monitored model.
        job: the job that materializes its drift history.
        interval_seconds: least seconds between two ticks; at least a minute is kept.

    Returns:
        The sensor, running by default.
    """
    names = ModelNames.of(config)

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        job=job,
        minimum_interval_seconds=max(interval_seconds, LEAST_INTERVAL_SECONDS),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes drift_history once there is a newer report or baseline.",
    )
    def drift_history_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        newest = newest_record(context.instance, names)
        if newest <= history_read_until(context.instance, names):
            return dg.SkipReason("the history has each report")
        running = context.instance.get_runs_count(
            dg.RunsFilter(
                job_name=names.daily_monitoring_job,
                statuses=[dg.DagsterRunStatus.STARTED],
                created_after=datetime.now(UTC) - _LONGEST_DAY,
            )
        )
        if running:
            return dg.SkipReason(f"{running} day(s) are being monitored; their reports follow")
        return dg.RunRequest(run_key=f"{names.name('drift_history')}-{newest}")

    return drift_history_sensor
