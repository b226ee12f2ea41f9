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
        self._platforms = {config.model_monitor_id: platform for config, platform in models}
        self._configs = [config for config, _ in models]
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
            case Rejected() as rejected:
                return _rejected(rejected)
            case Notice(text):
                return Assessment(Verdict.NOT_DRIFT, f"a notice, not of anomalies: {text}")
            case named:
                return self._assess_named(named.jobs)

    def assess_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> Assessment:
        """Assess a job of one of our monitors, by the configured thresholds.

        Args:
            config: the monitored model.
            model_monitor_id: id of one of its monitors.
            monitoring_job_id: id of the job.
        """
        key = (model_monitor_id, monitoring_job_id)
        if key not in self._assessments:
            self._assessments[key] = self._ask_for_job(config, *key)
        return self._assessments[key]

    def _assess_named(self, jobs: Sequence[NamedJob]) -> Assessment:
        ours: dict[tuple[str, str], MonitoringConfig] = {}
        known: list[OwnMonitors] = []
        unavailable: PlatformError | None = None
        for config in self._configs:
            monitors = self._own_monitors(config)
            if isinstance(monitors, PlatformError):
                unavailable = monitors
                continue
            known.append(monitors)
            for job in jobs:
                if _foreign_part(job, [monitors]) is None:
                    ours[(job.model_monitor_id, job.monitoring_job_id)] = config
        if len(ours) > 1:
            names = ", ".join("/".join(key) for key in sorted(ours))
            detail = f"the body names {len(ours)} of our monitoring jobs, {names}; expected one"
            return _rejected(reject(RejectionReason.SEVERAL_JOBS, detail))
        for key, config in ours.items():
            return self.assess_job(config, *key)
        if unavailable is not None:
            return Assessment(Verdict.UNAVAILABLE, str(unavailable), job=jobs[0])
        # Each part may be known, but of different models.
        foreign = _foreign_part(jobs[0], known) or reject(
            RejectionReason.OTHER_MONITOR, f"{resource_name(jobs[0])} is of no monitor of ours"
        )
        return _rejected(foreign, job=jobs[0])

    def _ask_for_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> Assessment:
        named = NamedJob(config.project_id, config.location, model_monitor_id, monitoring_job_id)

        def not_now(reason: str, verdict: Verdict = Verdict.UNAVAILABLE) -> Assessment:
            return Assessment(verdict, reason[:500], config=config, job=named)

        if config.model_monitor_id in self._outages:
            # It would be the same for this job.
            return not_now(str(self._outages[config.model_monitor_id]))
        if not self._may_ask():
            return not_now(f"{resource_name(named)} is read at a later tick", Verdict.WAITING)
        platform = self._platforms[config.model_monitor_id]
        try:
            job = platform.read_monitoring_job(config, model_monitor_id, monitoring_job_id)
            return assess_monitoring_job(job, named, config, self._now)
        except PlatformError as error:
            if isinstance(error, TemporaryPlatformError):
                self._outages[config.model_monitor_id] = error
            return not_now(str(error))
        except Exception as error:
            # A fault of one job, so that the others go on; it is looked at again.
            reason = f"{type(error).__name__}: {error}"
            return not_now(f"{resource_name(named)} cannot be read: {reason}")

    def _own_monitors(self, config: MonitoringConfig) -> OwnMonitors | PlatformError:
        if config.model_monitor_id not in self._monitors:
            try:
                answer = self._platforms[config.model_monitor_id].own_monitors(config)
            except PlatformError as error:
                answer = error
            self._monitors[config.model_monitor_id] = answer
        return self._monitors[config.model_monitor_id]


def assess_monitoring_job(
    job: MonitoringJob, named: NamedJob, config: MonitoringConfig, now: datetime
) -> Assessment:
    """Decide what a job of one of our monitors means.

    Args:
        job: the job, as the platform answers.
        named: the same job's names.
        config: the monitored model; its thresholds count, whatever thresholds the job ran with.
        now: the present time, UTC.

    Returns:
        `waiting` for a job without an end; `rejected` for one that is missing, has failed, or
        whose window cannot be.
    """
    if job.state == JobState.UNFINISHED:
        reason = f"{job.name} has not ended yet; it is looked at again"
        return Assessment(Verdict.WAITING, reason, config=config, job=named)
    if job.result is None:
        is_missing = job.state == JobState.MISSING
        reason = RejectionReason.JOB_MISSING if is_missing else RejectionReason.JOB_FAILED
        return _rejected(reject(reason, job.detail), config, named)
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
    """Make the drift event of a finished job, or None where no feature is above its threshold."""
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

    Features without threshold or distance are left out; a distance that rounding puts above 1 is 1.
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

    A window ends after the first monitored day has begun, and a day from now at the latest.
    """
    _, end = result.window
    if end <= datetime.combine(config.start_date, time(), tzinfo=UTC):
        return (
            f"the window ends at {end:%Y-%m-%d %H:%M} UTC, before {config.start_date}, the first "
            "monitored day; set start_date in the configuration if that is right"
        )
    if end > now + timedelta(days=1):
        return f"the window ends at {end:%Y-%m-%d %H:%M} UTC, in the future"
    return None


def resource_name(job: NamedJob) -> str:
    """Return the resource name of a job as it was named."""
    return monitoring_job_name(
        job.project, job.location, job.model_monitor_id, job.monitoring_job_id
    )


def _foreign_part(job: NamedJob, own: Sequence[OwnMonitors]) -> Rejected | None:
    for reason, found, ours in (
        (
            RejectionReason.OTHER_PROJECT,
            job.project,
            {project for monitors in own for project in monitors.projects},
        ),
        (RejectionReason.OTHER_LOCATION, job.location, {monitors.location for monitors in own}),
        (
            RejectionReason.OTHER_MONITOR,
            job.model_monitor_id,
            {monitor for monitors in own for monitor in monitors.monitor_ids},
        ),
    ):
        if found not in ours:
            what = reason.removeprefix("other_")
            expected = " or ".join(sorted(ours)[:5]) or "none: the model has no monitor yet"
            return reject(reason, f"the job is of the {what} {found}, ours is {expected}")
    return None


def _rejected(
    rejected: Rejected, config: MonitoringConfig | None = None, job: NamedJob | None = None
) -> Assessment:
    return Assessment(Verdict.REJECTED, rejected.detail, rejected.reason, config, job)
