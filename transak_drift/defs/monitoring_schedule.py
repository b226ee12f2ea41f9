"""The schedules: of the windows, each once after its end, and of the configuration."""

from collections.abc import Set
from datetime import UTC, datetime

import dagster as dg

# No public names.
from dagster._core.storage.tags import (
    PARTITION_NAME_TAG,
    SCHEDULE_NAME_TAG,
    SCHEDULED_EXECUTION_TIME_TAG,
)

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.defs.freshness import APPLY_CRON
from transak_drift.defs.keys import (
    APPLY_JOB,
    MODEL_MONITOR,
    MONITORING_RUN,
    PREPARE_JOB,
    ModelNames,
    window_job,
)
from transak_drift.defs.metadata import newest_materialization

# Of those that ended while no daemon ran; older ones are left to a backfill.
MAX_WINDOWS_PER_TICK = 31
# More than the windows that one tick looks at, with the retries of their runs.
_RUNS_LOOKED_AT = 4 * MAX_WINDOWS_PER_TICK


def build_monitoring_schedule(config: MonitoringConfig) -> dg.ScheduleDefinition:
    """Build the schedule of a model's windows, each of which is a run of its own.

    After a pause Dagster evaluates a schedule at the last missed time alone, and tells run keys
    apart by the time as well: what was requested is therefore read from the schedule's runs.
    """
    name = f"{window_job(config)}_schedule"

    @dg.schedule(
        job_name=window_job(config),
        name=name,
        cron_schedule=config.schedule.cron_of(config.monitoring_window),
        execution_timezone=config.schedule.time_zone or config.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Monitors each {config.monitoring_window} once, after its end.",
    )
    def monitoring_schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        windows, newest = config.windows, config.windows.newest_ended(now)
        first = windows.first_from(config.start_date)
        if newest < first:
            return dg.SkipReason(f"the first {first.length} from start_date on has not ended")
        requested, monitored = set[str](), set[str]()
        # A test may evaluate a schedule without an instance.
        if context.instance_ref is not None:
            requested = _requested(context.instance, name, now)
            run_asset = ModelNames.of(config).asset(MONITORING_RUN)
            monitored = context.instance.get_materialized_partitions(run_asset)
        ended = _ended_windows(config, newest, requested)
        if requested and (left_out := windows.after(windows.parse(max(requested)))) < ended[0]:
            context.log.warning(
                f"too many {first.length}s have ended for one tick; monitor the others by "
                f"transak-drift backfill --from {max(first, left_out).key} "
                f"--until {windows.before(ended[0]).key}"
            )
        due = [window.key for window in ended if window.key not in requested | monitored]
        if not due:
            return dg.SkipReason(f"{newest}, the last that has ended, was requested before")
        return [dg.RunRequest(run_key=key, partition_key=key) for key in due]

    return monitoring_schedule


def _ended_windows(config: MonitoringConfig, newest: Window, requested: Set[str]) -> list[Window]:
    """Return the windows since the first that was requested; the newest alone at the first start.

    They are ascending, and bounded.
    """
    first, ended = config.windows.first_from(config.start_date), [newest]
    while requested and len(ended) < MAX_WINDOWS_PER_TICK:
        before = config.windows.before(ended[0])
        if before < first or before.key <= min(requested):
            break
        ended.insert(0, before)
    return ended


def _requested(instance: dg.DagsterInstance, schedule: str, now: datetime) -> set[str]:
    """Return the windows that earlier ticks requested.

    Those of this very tick are requested again where it was interrupted: Dagster finds their runs.
    """
    runs = instance.get_runs(
        dg.RunsFilter(tags={SCHEDULE_NAME_TAG: schedule}), limit=_RUNS_LOOKED_AT
    )
    at = now.astimezone(UTC).isoformat()
    return {
        run.tags[PARTITION_NAME_TAG]
        for run in runs
        if run.tags.get(SCHEDULED_EXECUTION_TIME_TAG) != at
    }


def build_apply_schedule(config: MonitoringConfig) -> dg.ScheduleDefinition:
    """Build the schedule that applies a model's configuration again, once it was applied."""
    names = ModelNames.of(config)

    @dg.schedule(
        job_name=names.name(APPLY_JOB),
        name=names.name("model_monitor_schedule"),
        cron_schedule=APPLY_CRON,
        execution_timezone=config.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Applies the monitoring configuration each night, once it was applied: a change of the "
            "file takes effect, and a monitor that cannot be reached shows."
        ),
    )
    def model_monitor_schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        monitor = names.asset(MODEL_MONITOR)
        # A test may evaluate a schedule without an instance.
        if context.instance_ref and newest_materialization(context.instance, monitor) is None:
            return dg.SkipReason(f"nothing is applied yet: run {names.name(PREPARE_JOB)}")
        return dg.RunRequest()

    return model_monitor_schedule
