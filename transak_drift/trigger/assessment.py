"""Monitoring job to verdict: what the trigger makes of a message, by the platform's own answer.

The sensor, the Cloud Function and `transak-drift explain` share this code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import NamedJob
from transak_drift.drift.drift_event import DriftedFeature, DriftEvent, drift_event_key
from transak_drift.drift.monitoring_job import JobState, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult, does_not_train
from transak_drift.platform import MonitoringJobs, PlatformError, TemporaryPlatformError
from transak_drift.trigger.message import (
    Notice,
    Rejected,
    RejectionReason,
    read_message,
    sanitize_detail,
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
    """What the trigger makes of a message or of a monitoring job, with the reason for people.

    `features` are the monitored ones that have a distance. One of `further_jobs` may be ours, while
    the platform does not tell; `is_unread` is a job that was not asked for, `found` one that was.
    An outage would be the same for every job.
    """

    verdict: Verdict
    reason: str
    config: MonitoringConfig | None = None
    job: NamedJob | None = None
    rejection: RejectionReason | None = None
    features: tuple[FeatureDrift, ...] = ()
    event: DriftEvent | None = None
    further_jobs: tuple[NamedJob, ...] = ()
    is_unread: bool = False
    is_outage: bool = False
    found: MonitoringJob | None = None

    @property
    def named_jobs(self) -> list[NamedJob]:
        """The jobs that the message may be about."""
        return [] if self.job is None else [self.job, *self.further_jobs]

    @property
    def key(self) -> str:
        """What its records are about: a drift event, jobs not known to be ours, or no job."""
        if self.job is None or self.config is None:
            # Another project's job of the same ids must not stand for ours.
            return " ".join(job.name for job in self.named_jobs)
        return drift_event_key(self.job.model_monitor_id, self.job.monitoring_job_id)


class Assessor:
    """Assesses the messages and jobs of one moment; a job waits where it may not be asked for."""

    def __init__(
        self,
        models: Sequence[tuple[MonitoringConfig, MonitoringJobs]],
        now: datetime,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self._models = {config.model_monitor_id: (config, platform) for config, platform in models}
        self._now = now
        self._may_ask = may_ask
        self._assessments: dict[tuple[str, str], Assessment] = {}
        self._outages: dict[str, Assessment] = {}

    def assess(self, body: bytes) -> Assessment:
        """Say what a message's body means; never raises, for any body."""
        match read_message(body):
            case Rejected(reason, detail):
                return _rejected(reason, detail)
            case Notice(text):
                return Assessment(Verdict.NOT_DRIFT, f"a notice, not of anomalies: {text}")
            case jobs:
                return self._assess_named(jobs)

    def assess_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> Assessment:
        """Say what a job of one of a model's monitors means, by the configured thresholds."""
        key = (model_monitor_id, monitoring_job_id)
        if key not in self._assessments:
            job = NamedJob(config.project_id, config.location, *key)
            self._assessments[key] = self._ask_for_job(config, job)
        return self._assessments[key]

    def _assess_named(self, jobs: Sequence[NamedJob]) -> Assessment:
        monitors, unavailable = self._own_monitors
        ours = {
            (job.model_monitor_id, job.monitoring_job_id): self._models[model][0]
            for model, own in monitors.items()
            for job in jobs
            if job.project in own.projects
            and job.location == own.location
            and job.model_monitor_id in own.monitor_ids
        }
        if len(ours) > 1:
            names = ", ".join("/".join(key) for key in sorted(ours))
            detail = f"the body names {len(ours)} of our monitoring jobs, {names}; expected one"
            return _rejected(RejectionReason.SEVERAL_JOBS, detail)
        for key, config in ours.items():
            return self.assess_job(config, *key)
        if unavailable is not None:
            first, *others = jobs
            reason = str(unavailable)
            return Assessment(Verdict.UNAVAILABLE, reason, job=first, further_jobs=tuple(others))
        return _foreign(jobs[0], monitors.values())

    @cached_property
    def _own_monitors(self) -> tuple[dict[str, OwnMonitors], PlatformError | None]:
        monitors, unavailable = {}, None
        for model, (config, platform) in self._models.items():
            try:
                monitors[model] = platform.own_monitors(config)
            except PlatformError as error:
                unavailable = error
        return monitors, unavailable

    def _ask_for_job(self, config: MonitoringConfig, job: NamedJob) -> Assessment:
        model, ids = config.model_monitor_id, (job.model_monitor_id, job.monitoring_job_id)
        if model in self._outages:
            # It would be the same for this job.
            return replace(self._outages[model], job=job)
        if not self._may_ask():
            reason = f"{job.name} is read at a later tick"
            return Assessment(Verdict.WAITING, reason, config, job, is_unread=True)
        try:
            found = self._models[model][1].read_monitoring_job(config, *ids)
            return replace(_judge(found, job, config, self._now), found=found)
        except PlatformError as error:
            reason = str(error)[:500]
            if isinstance(error, TemporaryPlatformError):
                outage = Assessment(Verdict.UNAVAILABLE, reason, config, job, is_outage=True)
                return self._outages.setdefault(model, outage)
        except Exception as error:
            # A fault of one job, so that the others go on; it is looked at again.
            reason = f"{job.name} cannot be read: {type(error).__name__}: {error}"[:500]
        return Assessment(Verdict.UNAVAILABLE, reason, config, job)


def drift_event_of(
    job: MonitoringJob, result: MonitoringResult, config: MonitoringConfig
) -> DriftEvent | None:
    """Make the drift event of a finished job, or None where nothing drifted that may train."""
    may_train = config.retrain_policy.objectives
    drifted = [x for x in _monitored(result, config) if x.drifted and x.objective in may_train]
    if not drifted:
        return None
    window_start, window_end = result.interval
    return DriftEvent(
        project=config.project_id,
        location=config.location,
        model_monitor_id=job.model_monitor_id,
        monitoring_job_id=job.monitoring_job_id,
        features=tuple(DriftedFeature.model_validate(x, from_attributes=True) for x in drifted),
        window_start=window_start,
        window_end=window_end,
    )


def window_fault(result: MonitoringResult, config: MonitoringConfig, now: datetime) -> str | None:
    """Say why no training can follow from a result's window, or None where it can.

    A window ends after the first monitored day has begun, and with the present window, or a day
    from now, at the latest.
    """
    windows = config.windows
    try:
        _, end = result.interval
    except OverflowError:
        return "the window ends before the year 1 or after 9999"
    first_start, _ = windows.bounds(windows.of_day(config.start_date))
    _, present_end = windows.bounds(windows.of_moment(now))
    if first_start < end <= max(present_end, now + timedelta(days=1)):
        return None
    first = f"before {config.start_date}, the first monitored day; if that is right, set start_date"
    return f"the window ends at {end:%Y-%m-%d %H:%M} UTC, {'in the future' if end > now else first}"


def _judge(
    job: MonitoringJob, named: NamedJob, config: MonitoringConfig, now: datetime
) -> Assessment:
    if job.state == JobState.UNFINISHED:
        reason = f"{job.name} has not ended yet; it is looked at again"
        return Assessment(Verdict.WAITING, reason, config, named)
    if job.result is None:
        is_missing = job.state == JobState.MISSING
        rejection = RejectionReason.JOB_MISSING if is_missing else RejectionReason.JOB_FAILED
        return _rejected(rejection, job.detail, config, named)
    if fault := window_fault(job.result, config, now):
        return _rejected(RejectionReason.WINDOW_OUT_OF_RANGE, fault, config, named)
    monitored = _monitored(job.result, config)
    event = drift_event_of(job, job.result, config)
    shown = ", ".join(item.summary() for item in monitored) or "none has a distance"
    verdict = Verdict.NOT_DRIFT
    if event is not None:
        verdict, reason = Verdict.DRIFT, event.summary()
    elif drifted := [item for item in monitored if item.drifted]:
        reason = f"{does_not_train(drifted[0].objective)} ({shown})"
    else:
        reason = f"no monitored feature drifted ({shown})"
    return Assessment(verdict, reason, config, named, features=monitored, event=event)


def _monitored(result: MonitoringResult, config: MonitoringConfig) -> tuple[FeatureDrift, ...]:
    """Return what is monitored and has a distance, judged by the configuration."""
    thresholds = config.thresholds
    return tuple(
        item
        for item in result.judged(config.retrain_policy, thresholds).features
        if item.distance is not None
        and item.feature in thresholds
        and item.objective == config.objective(item.feature)
    )


def _foreign(job: NamedJob, own: Collection[OwnMonitors]) -> Assessment:
    for what, found, ours in (
        ("project", job.project, {project for item in own for project in item.projects}),
        ("location", job.location, {item.location for item in own}),
        ("monitor", job.model_monitor_id, {name for item in own for name in item.monitor_ids}),
    ):
        if found not in ours:
            expected = " or ".join(sorted(ours)[:5]) or "none: the model has no monitor yet"
            detail = f"the job is of the {what} {found}, ours is {expected}"
            return _rejected(RejectionReason(f"other_{what}"), detail, job=job)
    # Each part is known, but of different models.
    return _rejected(RejectionReason.OTHER_MONITOR, f"{job.name} is of no monitor of ours", job=job)


def _rejected(
    reason: RejectionReason,
    detail: str,
    config: MonitoringConfig | None = None,
    job: NamedJob | None = None,
) -> Assessment:
    return Assessment(Verdict.REJECTED, sanitize_detail(detail), config, job, reason)
