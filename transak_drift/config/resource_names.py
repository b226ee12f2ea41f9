"""Resource names of Vertex AI and Pub/Sub, built and taken apart in one place."""

from __future__ import annotations

import re
from typing import NamedTuple

_JOB = re.compile(
    r"projects/([a-z0-9][a-z0-9.:-]{0,62})"
    r"/locations/([a-z0-9-]{1,63})"
    r"/modelMonitors/([A-Za-z0-9-]{1,63})"
    r"/modelMonitoringJobs/([A-Za-z0-9-]{1,63})",
    re.ASCII,
)


class NamedJob(NamedTuple):
    """A ModelMonitoringJob by its resource name, the project by id or number."""

    project: str
    location: str
    model_monitor_id: str
    monitoring_job_id: str

    @property
    def name(self) -> str:
        """Its resource name."""
        return monitoring_job_name(*self)


def topic_name(project_id: str, topic: str) -> str:
    """Return the resource name of a Pub/Sub topic."""
    return f"projects/{project_id}/topics/{topic}"


def subscription_name(project_id: str, subscription: str) -> str:
    """Return the resource name of a Pub/Sub subscription."""
    return f"projects/{project_id}/subscriptions/{subscription}"


def model_monitor_name(project: str, location: str, model_monitor_id: str) -> str:
    """Return the resource name of a Vertex AI ModelMonitor."""
    return f"projects/{project}/locations/{location}/modelMonitors/{model_monitor_id}"


def monitoring_job_name(
    project: str, location: str, model_monitor_id: str, monitoring_job_id: str
) -> str:
    """Return the resource name of a Vertex AI ModelMonitoringJob."""
    monitor = model_monitor_name(project, location, model_monitor_id)
    return f"{monitor}/modelMonitoringJobs/{monitoring_job_id}"


def parse_monitoring_job_name(name: str) -> NamedJob:
    """Take the resource name of a ModelMonitoringJob apart; nothing says that there is one."""
    match = _JOB.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name[:200]!a} is not projects/<project>/locations/<location>"
            "/modelMonitors/<monitor>/modelMonitoringJobs/<job>"
        )
    return NamedJob(*match.groups())
