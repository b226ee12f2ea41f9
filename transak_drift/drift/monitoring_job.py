"""Monitoring jobs and the monitors that they belong to, as a platform answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from transak_drift.drift.monitoring_result import MonitoringResult


class JobState(StrEnum):
    """How far a monitoring job is."""

    UNFINISHED = "unfinished"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class OwnMonitors:
    """The monitors whose target is a monitored model, by the platform's own answer.

    `projects` has every name of the project: its id, and its number where the platform answers with
    it. The ids of the monitors are client-given or numeric, one for each monitored version.
    """

    projects: frozenset[str]
    location: str
    monitor_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A monitoring job in a listing; it has ended in whatever way. Times are UTC."""

    model_monitor_id: str
    monitoring_job_id: str
    created: datetime
    has_ended: bool


@dataclass(frozen=True, slots=True)
class MonitoringJob:
    """A monitoring job and what it found.

    Args:
        name: its resource name, with the project as the configuration names it.
        model_monitor_id: id of its monitor.
        monitoring_job_id: its own id.
        state: how far it is.
        detail: why it failed, for people; otherwise an empty string.
        result: what it found; only of a job that succeeded.
        day: the monitored day, where it is known without a result.
    """

    name: str
    model_monitor_id: str
    monitoring_job_id: str
    state: JobState
    detail: str = ""
    result: MonitoringResult | None = None
    day: date | None = None
