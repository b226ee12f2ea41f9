"""Monitoring job to verdict: what the trigger makes of a message, by the platform's own answer.

The sensor, the Cloud Function and `transak-drift explain` share this code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.drift.drift_event import DriftedFeature, DriftEvent
from transak_drift.drift.monitoring_job import JobState, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import MonitoringJobs, PlatformError, TemporaryPlatformError
from transak_drift.trigger.message import (
    NamedJob,
    Notice,
    Rejected,
    RejectionReason,
    read_message,
    reject,
)


class Verdict(StrEnum):
    """What a message, or a monitoring job, means to the trigger."""

    DRIFT = "drift"
    NOT_DRIFT = "not drift"
    WAITING = "waiting"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the trigger makes of a message or of a monitoring job.

    Args:
        verdict: the verdict.
        reason: why, in a sentence for people.
        rejection: the kind of fault; only of a rejected one.
        config: the model that it is about, where that is known.
        job: the monitoring job, where one is named.
        features: the monitored features that have a distance, with their configured threshold.
        event: the drift event; only of drift.
    """

    verdict: Verdict
    reason: str
    rejection: RejectionReason | None = None
    config: MonitoringConfig | None = None
    job: NamedJob | None = None
    features: tuple[DriftedFeature, ...] = ()
    event: DriftEvent | None = None


class Assessor:
    """Assesses the messages and jobs of one moment; each question is asked once.

    Args:
        models: the models that share the trigger subscription, each with its platform.
        now: the present time, UTC.
        may_ask: whether there is time for another question; without it a job waits.
    """

    def __init__(
        self,
        models: Sequence[tuple[MonitoringConfig, MonitoringJobs]],
        now: datetime,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self._models = models
        self._now = now
        self._may_ask = may_ask
        self._monitors: dict[str, OwnMonitors | PlatformError] = {}
        self._assessments: dict[tuple[str, str], Assessment] = {}
        self._outages: dict[str, TemporaryPlatformError] = {}

    def assess(self, body: bytes) -> Assessment:
        """Assess a message; never raises for any body.

        Args:
            body: the message's data.

        Returns:
            What it means. Where the platform does not answer, `unavailable` with its reason.
        """
        match read_message(body):
            case Rejected(rejection, detail):
                return Assessment(Verdict.REJECTED, detail, rejection)
            case Notice(text):
                return Assessment(Verdict.NOT_DRIFT, f"a notice, not of anomalies: {text}")
            case named:
                return self.assess_named(named.jobs)

    def assess_named(self, jobs: Sequence[NamedJob]) -> Assessment:
        """Assess the one of some jobs, each as a message names it, that is ours."""
        ours: dict[tuple[str, str], tuple[MonitoringConfig, NamedJob]] = {}
        unavailable: PlatformError | None = None
        for config, _ in self._models:
            monitors = self._own_monitors(config)
            if isinstance(monitors, PlatformError):
                unavailable = monitors
                continue
            for job in jobs:
                if _is_of(job, monitors):
                    ours[(job.model_monitor_id, job.monitoring_job_id)] = (config, job)
        if len(ours) > 1:
            names = ", ".join("/".join(key) for key in sorted(ours))
            detail = f"the body names {len(ours)} of our monitoring jobs, {names}; expected one"
            return _rejected(reject(RejectionReason.SEVERAL_JOBS, detail))
        for config, job in ours.values():
            return self.assess_job(config, job.model_monitor_id, job.monitoring_job_id)
        if unavailable is not None:
            return Assessment(Verdict.UNAVAILABLE, str(unavailable), job=jobs[0])
        return _rejected(self._not_ours(jobs[0]), job=jobs[0])

    def assess_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> Assessment:
        """Assess a job of a monitor of ours.

        Args:
            config: the monitored model.
            model_monitor_id: id of one of its monitors.
            monitoring_job_id: id of the job.

        Returns:
            What it means; by the configured thresholds, whatever thresholds the job ran with.
        """
        key = (model_monitor_id, monitoring_job_id)
        if key not in self._assessments:
            self._assessments[key] = self._ask_for_job(config, *key)
        return self._assessments[key]

    def _ask_for_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> Assessment:
        named = NamedJob(config.project_id, config.location, model_monitor_id, monitoring_job_id)
        platform = next(platform for model, platform in self._models if model is config)
        outage = self._outages.get(config.model_monitor_id)
        if outage is not None:
            # It would be the same for this job.
            return Assessment(Verdict.UNAVAILABLE, str(outage), config=config, job=named)
        if not self._may_ask():
            reason = f"{resource_name(named)} is read at a later tick"
            return Assessment(Verdict.WAITING, reason, config=config, job=named)
        try:
            job = platform.read_monitoring_job(config, model_monitor_id, monitoring_job_id)
            return assess_monitoring_job(job, named, config, self._now)
        except PlatformError as error:
            if isinstance(error, TemporaryPlatformError):
                self._outages[config.model_monitor_id] = error
            return Assessment(Verdict.UNAVAILABLE, str(error), config=config, job=named)
        except Exception as error:
            # Of one job, so that the others go on; it is looked at again.
            reason = f"{resource_name(named)} cannot be read: {type(error).__name__}: {error}"
            return Assessment(Verdict.UNAVAILABLE, reason[:500], config=config, job=named)

    def _own_monitors(self, config: MonitoringConfig) -> OwnMonitors | PlatformError:
        if config.model_monitor_id not in self._monitors:
            platform = next(platform for model, platform in self._models if model is config)
            try:
                self._monitors[config.model_monitor_id] = platform.own_monitors(config)
            except PlatformError as error:
                self._monitors[config.model_monitor_id] = error
        return self._monitors[config.model_monitor_id]

    def _not_ours(self, job: NamedJob) -> Rejected:
        known = [
            monitors
            for config, _ in self._models
            if isinstance(monitors := self._own_monitors(config), OwnMonitors)
        ]
        for reason, found, ours, what in (
            (
                RejectionReason.OTHER_PROJECT,
                job.project,
                {project for monitors in known for project in monitors.projects},
                "project",
            ),
            (
                RejectionReason.OTHER_LOCATION,
                job.location,
                {monitors.location for monitors in known},
                "location",
            ),
            (
                RejectionReason.OTHER_MONITOR,
                job.model_monitor_id,
                {monitor for monitors in known for monitor in monitors.monitor_ids},
                "monitor",
            ),
        ):
            if found not in ours:
                expected = " or ".join(sorted(ours)[:5]) or "none: the model has no monitor yet"
                return reject(
                    reason, f"the monitoring job is of the {what} {found}, ours is {expected}"
                )
        # Each part is known, but of different models.
        return reject(
            RejectionReason.OTHER_MONITOR,
            f"no monitor {job.model_monitor_id} of ours is in {job.project}/{job.location}",
        )


def assess_monitoring_job(
    job: MonitoringJob, named: NamedJob, config: MonitoringConfig, now: datetime
) -> Assessment:
    """Decide what a job of a monitor of ours means.

    Args:
        job: the job, as the platform answers.
        named: the same job's names.
        config: the monitored model; its thresholds count.
        now: the present time, UTC.

    Returns:
        The verdict: of a job without an end `waiting`; of one that is missing, failed, or whose
        window cannot be, `rejected`.
    """
    if job.state == JobState.UNFINISHED:
        reason = f"{job.name} has not ended yet; it is looked at again"
        return Assessment(Verdict.WAITING, reason, config=config, job=named)
    if job.result is None:
        rejection = (
            RejectionReason.JOB_MISSING
            if job.state == JobState.MISSING
            else RejectionReason.JOB_FAILED
        )
        return _rejected(reject(rejection, job.detail), config, named)
    fault = window_fault(job.result, config, now)
    if fault is not None:
        return _rejected(reject(RejectionReason.WINDOW_OUT_OF_RANGE, fault), config, named)
    features = monitored_features(job.result, config)
    event = drift_event_of(job, job.result, config)
    if event is None:
        shown = ", ".join(f"{item.feature} {item.distance:.4f}" for item in features)
        reason = f"no monitored feature is above its threshold ({shown or 'none has a distance'})"
        return Assessment(Verdict.NOT_DRIFT, reason, None, config, named, features)
    return Assessment(Verdict.DRIFT, event.summary(), None, config, named, features, event)


def drift_event_of(
    job: MonitoringJob, result: MonitoringResult, config: MonitoringConfig
) -> DriftEvent | None:
    """Make the drift event of a finished job, or None where no feature is above its threshold.

    Args:
        job: the job.
        result: what it found.
        config: the monitored model; its thresholds count.
    """
    features = monitored_features(result, config)
    drifted = tuple(item for item in features if item.distance > item.threshold)
    if not drifted:
        return None
    window_start, window_end = result.window
    return DriftEvent(
        project=config.project_id,
        location=config.location,
        model_monitor_id=job.model_monitor_id,
        monitoring_job_id=job.monitoring_job_id,
        features=drifted,
        window_start=window_start,
        window_end=window_end,
    )


def monitored_features(
    result: MonitoringResult, config: MonitoringConfig
) -> tuple[DriftedFeature, ...]:
    """Hold the distances of a result against the configured thresholds.

    Args:
        result: what a job found.
        config: the monitored model.

    Returns:
        The features that have a configured threshold and a distance; a distance that rounding
        puts above 1 is 1.
    """
    return tuple(
        DriftedFeature(
            feature=item.feature,
            distance=min(item.distance, 1.0),
            threshold=config.drift_thresholds[item.feature],
        )
        for item in result.features
        if item.distance is not None and item.feature in config.drift_thresholds
    )


def window_fault(result: MonitoringResult, config: MonitoringConfig, now: datetime) -> str | None:
    """Say why no training can follow from a result's window, or None where it can.

    Args:
        result: what a job found.
        config: the monitored model; its first monitored day bounds the window.
        now: the present time, UTC; a window ends a day after it at the latest.
    """
    _, end = result.window
    beginning = datetime.combine(config.start_date, time(), tzinfo=UTC)
    if end <= beginning:
        return (
            f"the window ends at {end:%Y-%m-%d %H:%M} UTC, before {config.start_date}, the first "
            "monitored day; set start_date in the configuration if that is right"
        )
    if end > now + timedelta(days=1):
        return f"the window ends at {end:%Y-%m-%d %H:%M} UTC, in the future"
    return None


def _is_of(job: NamedJob, monitors: OwnMonitors) -> bool:
    return (
        job.project in monitors.projects
        and job.location == monitors.location
        and job.model_monitor_id in monitors.monitor_ids
    )


def _rejected(
    rejected: Rejected, config: MonitoringConfig | None = None, job: NamedJob | None = None
) -> Assessment:
    return Assessment(Verdict.REJECTED, rejected.detail, rejected.reason, config, job)


def resource_name(job: NamedJob) -> str:
    """Return the resource name of a job as it was named."""
    return monitoring_job_name(
        job.project, job.location, job.model_monitor_id, job.monitoring_job_id
    )
