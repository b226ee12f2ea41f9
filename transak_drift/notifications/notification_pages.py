"""The pages that notifications link to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.reports.links import asset_partition_page, feature_drift_page, model_monitor_page

MOST_FEATURE_PAGES = 3


@dataclass(frozen=True, slots=True)
class Link:
    """A page to open.

    Args:
        title: what it shows.
        address: an http or https address.
    """

    title: str
    address: str


@dataclass(frozen=True, slots=True)
class NotificationPages:
    """Where people read on.

    Args:
        config: the monitored model.
        drift_report: parts of the key of its asset `drift_report`.
        drift_event: parts of the key of its asset `drift_event`.
        dagster_url: address of the Dagster UI, or None: then nothing there is linked to.
        vertex: whether the monitoring jobs are on Vertex AI, whose console is linked to.
    """

    config: MonitoringConfig
    drift_report: tuple[str, ...]
    drift_event: tuple[str, ...]
    dagster_url: str | None
    vertex: bool

    def of_drift(
        self, day: date | None, monitoring_job_id: str, features: Sequence[str]
    ) -> tuple[Link, ...]:
        """Return the pages that show a drift.

        Args:
            day: the day that drifted, or None where unknown.
            monitoring_job_id: id of the ModelMonitoringJob.
            features: what drifted; without any, the monitor itself is linked to.

        Returns:
            The drift report of the day, and on Vertex AI the console's pages.
        """
        links = []
        if day is not None:
            path = asset_partition_page(self.drift_report, day.isoformat())
            links += self._in_dagster("Drift report", path)
        if not self.vertex:
            return tuple(links)
        config = self.config
        project, location, monitor = config.project_id, config.location, config.model_monitor_id
        job = monitoring_job_name(project, location, monitor, monitoring_job_id)
        for feature in features[:MOST_FEATURE_PAGES]:
            links.append(Link(f"{feature[:60]} on Vertex AI", feature_drift_page(job, feature)))
        if not features:
            page = model_monitor_page(project, location, monitor)
            links.append(Link("Monitor on Vertex AI", page))
        return tuple(links)

    def of_run(self, run_id: str | None) -> tuple[Link, ...]:
        """Return the page of a training's run in the Dagster UI, where there is one."""
        if run_id is None:
            return ()
        return tuple(self._in_dagster("Training run", f"/runs/{quote(run_id, safe='')}"))

    def of_drift_events(self) -> tuple[Link, ...]:
        """Return the page of all drift events in the Dagster UI."""
        path = "/".join(quote(part, safe="") for part in self.drift_event)
        return tuple(self._in_dagster("Drift events", f"/assets/{path}?view=events"))

    def _in_dagster(self, title: str, path: str) -> list[Link]:
        if self.dagster_url is None:
            return []
        return [Link(title, f"{self.dagster_url.rstrip('/')}{path}")]
