"""Sensor: results of monitoring jobs that outlive the run which started them.

No run worker waits for a job. The starts and the recorded results are both in Dagster's storage;
what has a start and no result is watched.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_report import check_result, report_metadata
from transak_drift.defs.names import JOB_NAME_METADATA, ModelNames, check_names
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.platform import (
    DriftPlatform,
    MonitoringRunFailedError,
    PlatformError,
    TemporaryPlatformError,
)
from transak_drift.trigger.watched_runs import WatchedRun, WatchedRuns

SENSOR_NAME = "monitoring_results_sensor"

AssetEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


@dataclass(frozen=True, slots=True)
class WatchBounds:
    """What one tick does at most; the rest follows on later ticks.

    Args:
        new_starts: starts that are read from Dagster's storage.
        looks: jobs that are looked at.
        seconds: time after which no further job is looked at.
        longest_watch: after so long without a result a job is given up.
    """

    new_starts: int = 500
    looks: int = 200
    seconds: float = 20.0
    longest_watch: timedelta = timedelta(days=7)


def build_monitoring_results_sensor(
    config: MonitoringConfig, interval_seconds: int, bounds: WatchBounds | None = None
) -> dg.SensorDefinition:
    """Build the sensor.

    Args:
        config: the monitored model.
        interval_seconds: least seconds between two ticks.
        bounds: what a tick does at most.

    Returns:
        The sensor, running by default. It starts no run: it records `drift_report`, with the
        metadata and the checks that the asset itself would record.
    """
    limits = bounds or WatchBounds()
    names = ModelNames.of(config)

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        target=dg.AssetSelection.assets(names.drift_report),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Watches unfinished monitoring jobs, and records the drift report of each day when its "
            "job ends."
        ),
    )
    def monitoring_results_sensor(
        context: dg.SensorEvaluationContext, platform: PlatformResource
    ) -> dg.SensorResult:
        watched = _with_new_starts(
            context.instance, names, WatchedRuns.from_cursor(context.cursor), limits.new_starts
        )
        tick = _Tick(config, platform, limits)
        if watched.waiting:
            tick.look(context.instance, platform.open(config), watched)
        for problem in tick.problems:
            context.log.warning(problem)
        left = watched.after(tick.looked_at, tick.done)
        sentence = (
            f"{len(tick.done)} of {len(watched.waiting)} monitoring jobs have ended; "
            f"{len(left.waiting)} are watched on"
        )
        context.log.info(sentence)
        return dg.SensorResult(
            skip_reason=sentence + "".join(f"; {problem}" for problem in tick.problems[:1]),
            cursor=left.to_cursor(),
            asset_events=tick.events,
        )

    return monitoring_results_sensor


class _Tick:
    """One tick: what was looked at, and what is to be recorded."""

    def __init__(
        self,
        config: MonitoringConfig,
        platform: PlatformResource,
        limits: WatchBounds,
    ) -> None:
        self._config = config
        self._platform = platform
        self._names = ModelNames.of(config)
        self._checks = check_names(config.drift_thresholds)
        self._limits = limits
        self.looked_at: list[str] = []
        self.done: list[str] = []
        self.problems: list[str] = []
        self.events: list[AssetEvent] = []

    def look(
        self, instance: dg.DagsterInstance, platform: DriftPlatform, watched: WatchedRuns
    ) -> None:
        """Look at each job until a bound is reached."""
        deadline = time.monotonic() + self._limits.seconds
        for day, run in list(watched.waiting.items())[: self._limits.looks]:
            if time.monotonic() > deadline:
                break
            self.looked_at.append(day)
            if _recorded_job(instance, self._names, day) == run.job_name:
                self.done.append(day)
                continue
            try:
                result = platform.monitoring_result(self._config, run.job_name)
            except MonitoringRunFailedError as error:
                self._record_failure(day, run, str(error))
            except TemporaryPlatformError as error:
                # It would be the same for every other job.
                self.problems.append(str(error))
                break
            except PlatformError as error:
                self.problems.append(str(error))
                if _is_given_up(run, self._limits):
                    self._record_failure(day, run, f"given up: {error}")
            else:
                if result is not None:
                    self._record(day, result)
                elif _is_given_up(run, self._limits):
                    self._record_failure(day, run, "the job did not end; it is watched no longer")

    def _record(self, day: str, result: MonitoringResult) -> None:
        self.done.append(day)
        self.events.append(
            dg.AssetMaterialization(
                asset_key=self._names.drift_report,
                partition=day,
                metadata=report_metadata(self._config, self._platform, result),
            )
        )
        self.events.extend(
            _check_evaluation(self._config, feature)
            for feature in result.features
            # A threshold that is configured no longer has no check.
            if feature.feature in self._checks
        )

    def _record_failure(self, day: str, run: WatchedRun, reason: str) -> None:
        self.done.append(day)
        self.events.append(
            dg.AssetObservation(
                asset_key=self._names.drift_report,
                partition=day,
                description=f"the monitoring job of {day} gave no result: {reason}",
                metadata={JOB_NAME_METADATA: run.job_name, "reason": reason},
            )
        )
        self.events.extend(
            dg.AssetCheckEvaluation(
                asset_key=self._names.drift_report,
                check_name=name,
                passed=False,
                severity=dg.AssetCheckSeverity.ERROR,
                description=f"{day} is not known: {reason}",
                metadata={JOB_NAME_METADATA: run.job_name},
            )
            for name in self._checks.values()
        )


def _check_evaluation(config: MonitoringConfig, feature: FeatureDrift) -> dg.AssetCheckEvaluation:
    check = check_result(config, feature)
    return dg.AssetCheckEvaluation(
        asset_key=ModelNames.of(config).drift_report,
        check_name=check_names(config.drift_thresholds)[feature.feature],
        passed=check.passed,
        metadata=check.metadata,
        severity=check.severity,
        description=check.description,
    )


def _with_new_starts(
    instance: dg.DagsterInstance, names: ModelNames, watched: WatchedRuns, limit: int
) -> WatchedRuns:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=names.monitoring_run, after_storage_id=watched.seen),
        limit=limit,
        ascending=True,
    ).records
    if not records:
        return watched
    return watched.with_started(records[-1].storage_id, _runs(records))


def _runs(records: Sequence[dg.EventLogRecord]) -> Iterator[tuple[str, WatchedRun]]:
    for record in records:
        materialization = record.asset_materialization
        if materialization is None or materialization.partition is None:
            continue
        job_name = materialization.metadata.get(JOB_NAME_METADATA)
        if job_name is not None:
            since = datetime.fromtimestamp(record.timestamp, UTC)
            yield materialization.partition, WatchedRun(job_name=str(job_name.value), since=since)


def _recorded_job(instance: dg.DagsterInstance, names: ModelNames, day: str) -> str | None:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=names.drift_report, asset_partitions=[day]), limit=1
    ).records
    materialization = records[0].asset_materialization if records else None
    job_name = materialization.metadata.get(JOB_NAME_METADATA) if materialization else None
    return None if job_name is None else str(job_name.value)


def _is_given_up(run: WatchedRun, limits: WatchBounds) -> bool:
    return datetime.now(UTC) - run.since > limits.longest_watch
