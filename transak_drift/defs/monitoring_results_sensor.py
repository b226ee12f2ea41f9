"""Sensor: the end of every monitoring job of ours, whoever started it.

Each finished job gets its report, and drift enters the trigger's inbox, whether or not a message
names the job. No run worker waits for a job.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.defs.data_quality_checks import quality_evaluations, with_usual_rows
from transak_drift.defs.drift_event_log import catch_up, write_records
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    ModelNames,
    check_names,
)
from transak_drift.defs.metadata import newest_materialization
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_reports import check_evaluations, report_metadata, storable
from transak_drift.defs.recorded_windows import require_same_windows
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import MonitoringJobs, PlatformError
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift.trigger.pending_jobs import PendingJobs

SENSOR_NAME = "monitoring_results_sensor"


@dataclass(frozen=True, slots=True)
class PollBounds:
    """What one tick does at most; the rest follows on later ticks."""

    # Jobs that are read, and seconds after which none is read any more.
    reads: int = 200
    seconds: float = 20.0
    # Between two listings of all jobs.
    listing_interval: timedelta = timedelta(seconds=60)
    # How far the very first listing looks back.
    look_back: timedelta = timedelta(days=1)
    # After so long without a result a job is given up.
    max_wait: timedelta = timedelta(days=7)


def build_monitoring_results_sensor(
    config: MonitoringConfig,
    interval_seconds: int,
    bounds: PollBounds | None = None,
    *,
    triggers: bool = True,
) -> dg.SensorDefinition:
    """Build the sensor of one model; where a Cloud Function trains, drift does not trigger."""
    names = ModelNames.of(config)

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        target=dg.AssetSelection.assets(names.asset(DRIFT_REPORT)),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Finds every monitoring job of the model's monitors, whoever started it, records its "
            "drift report when it ends, and hands drift to the trigger, with or without a message."
        ),
    )
    def monitoring_results_sensor(
        context: dg.SensorEvaluationContext, platform: PlatformResource
    ) -> dg.SensorResult:
        jobs = PendingJobs.read(context.cursor)
        tick = _Tick(context.instance, config, platform, bounds or PollBounds(), jobs, triggers)
        sentence = tick.run(platform.open(config))
        for problem in tick.problems:
            context.log.warning(problem)
        return dg.SensorResult(
            skip_reason="; ".join([sentence, *tick.problems[:1]]),
            cursor=tick.jobs.model_dump_json(exclude_defaults=True),
            asset_events=[*tick.events, *storable(context.instance, tick.checks)],
        )

    return monitoring_results_sensor


@dataclass
class _Tick:
    """One tick: what is listed, read and recorded."""

    instance: dg.DagsterInstance
    config: MonitoringConfig
    platform: PlatformResource
    bounds: PollBounds
    jobs: PendingJobs
    triggers: bool
    problems: list[str] = field(default_factory=list)
    events: list[dg.AssetMaterialization | dg.AssetObservation] = field(default_factory=list)
    checks: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._names = ModelNames.of(self.config)
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + self.bounds.seconds

    def run(self, platform: MonitoringJobs) -> str:
        """Do the tick's work; returns a sentence for people."""
        key = self._names.asset(DRIFT_EVENT)
        if not catch_up(self.instance, key, self.jobs.inbox, self._deadline):
            return "reading the event log; the rest follows at the next tick"
        self._list(platform)
        if self.jobs.pending:
            require_same_windows(self.instance, self.config)
        assessor = Assessor([(self.config, platform)], self._now)
        awaited, ended = list(self.jobs.pending)[: self.bounds.reads], 0
        for job_key in awaited:
            if time.monotonic() > self._deadline:
                break
            found = assessor.assess_job(self.config, *job_key.split("/", maxsplit=1))
            if found.is_outage:
                # It would be the same for every other job.
                self.problems.append(found.reason)
                break
            ended += self._follow(job_key, found)
        return f"{ended} of {len(awaited)} monitoring jobs have ended; " + (
            f"{len(self.jobs.pending)} are awaited" if self.jobs.pending else "none is awaited"
        )

    def _list(self, platform: MonitoringJobs) -> None:
        listed_at = self.jobs.listed_at
        if listed_at is not None and self._now - listed_at < self.bounds.listing_interval:
            return
        start = self.jobs.listing_start(self._now, self.bounds.look_back)
        try:
            self.jobs.add_listing(platform.list_monitoring_jobs(self.config, start), self._now)
        except PlatformError as error:
            self.problems.append(str(error))

    def _follow(self, key: str, found: Assessment) -> bool:
        """Record how a job ended; one without an end or an answer is awaited on."""
        job, reason = found.found, found.reason
        if found.verdict == Verdict.UNAVAILABLE:
            self.problems.append(f"{key}: {reason}")
        if found.verdict in (Verdict.WAITING, Verdict.UNAVAILABLE):
            if self._now - self.jobs.pending[key] <= self.bounds.max_wait:
                self.jobs.look_later(key)
                return False
            is_waiting = found.verdict == Verdict.WAITING
            reason = f"awaited no longer: {'the job did not end' if is_waiting else reason}"
        if found.verdict in (Verdict.DRIFT, Verdict.NOT_DRIFT) and job and job.result:
            self._record(key, job.result, found)
        else:
            self._record_failure(key, reason[:500], job.window if job else None)
        self.jobs.finish(key)
        return True

    def _record(self, key: str, result: MonitoringResult, found: Assessment) -> None:
        # Also where it trains nothing: the reason is recorded as that of a message would be.
        is_above = any(item.is_above_threshold for item in found.features)
        if self.triggers and is_above and not self.jobs.inbox.knows(key):
            event, at = found.event, self._now
            kind = OutcomeKind.NOT_DRIFT if event is None else OutcomeKind.DRIFT
            record = TriggerRecord(kind=kind, key=key, detail=found.reason, at=at, event=event)
            write_records(self.instance, self._names.asset(DRIFT_EVENT), [record])
        partition, asset = result.window.key, self._names.asset(DRIFT_REPORT)
        newest = newest_materialization(self.instance, asset, partition)
        recorded = newest and newest.metadata.get(JOB_NAME_METADATA)
        if not recorded or str(recorded.value).rpartition("/")[2] != key.rpartition("/")[2]:
            result = with_usual_rows(self.instance, self.config, result)
            metadata = report_metadata(self.config, self.platform, result)
            self.events.append(
                dg.AssetMaterialization(asset, partition=partition, metadata=metadata)
            )
            self.checks.extend(check_evaluations(self.config, result.features, partition))
            self.checks.extend(quality_evaluations(self.config, result))

    def _record_failure(self, key: str, reason: str, window: Window | None = None) -> None:
        partition = (window or self.config.windows.of_moment(self.jobs.pending[key])).key
        asset_key = self._names.asset(DRIFT_REPORT)
        ids = key.split("/", maxsplit=1)
        name = monitoring_job_name(self.config.project_id, self.config.location, *ids)
        self.events.append(
            dg.AssetObservation(
                asset_key=asset_key,
                partition=partition,
                description=f"the monitoring job of {partition} gave no result: {reason}",
                metadata={JOB_NAME_METADATA: name, "reason": reason},
            )
        )
        self.checks.extend(
            dg.AssetCheckEvaluation(
                asset_key=asset_key,
                check_name=check,
                passed=False,
                severity=dg.AssetCheckSeverity.ERROR,
                description=f"{partition} is not known: {reason}",
                metadata={JOB_NAME_METADATA: name},
                partition=partition,
            )
            for check in check_names(self.config.thresholds).values()
        )
