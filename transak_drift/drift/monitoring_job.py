"""Monitoring jobs and the monitors that they belong to, as a platform answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from transak_drift.config.monitoring_window import Window
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

    The name has the project as the configuration names it; `detail` is why a job failed, for
    people; the result is that of a job that succeeded, and the window is known also without one.
    """

    name: str
    model_monitor_id: str
    monitoring_job_id: str
    state: JobState
    detail: str = ""
    result: MonitoringResult | None = None
    window: Window | None = None
