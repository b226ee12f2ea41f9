"""The platform as a Dagster resource: the same key `platform` for local and gcp."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Self

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.run_health import heartbeat
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import DriftPlatform


class PlatformResource(dg.ConfigurableResource, ABC):
    """A platform; assets know no more of it than `DriftPlatform` and where its pages are.

    Every run uses it, and has a heartbeat for as long. A page is an HTML document that replaces the
    one before; a person opens it at an absolute path or an https address, None where the
    configuration names no place for it.
    """

    heartbeat_seconds: float = Field(default=20.0, description="Between two heartbeats of a run.")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Self]:
        # A sensor uses it without a run.
        if context.instance is None or context.run is None:
            yield self
            return
        with heartbeat(context.instance, context.run.run_id, self.heartbeat_seconds):
            yield self

    @abstractmethod
    def open(self, config: MonitoringConfig) -> DriftPlatform:
        """Return the platform, ready for use; on gcp the model names project and region."""

    @abstractmethod
    def store_report(
        self, config: MonitoringConfig, result: MonitoringResult, page: str
    ) -> str | None:
        """Keep the report of a monitoring run, and return where a person opens it."""

    @abstractmethod
    def store_history(self, config: MonitoringConfig, page: str) -> str | None:
        """Keep the drift history of a model beside its reports, and return where it is."""

    def newest_anomaly_entry(self, config: MonitoringConfig) -> dict[str, Any] | None:
        """Return the newest entry that the model's monitors wrote to the log, if it can be read."""
        return None

    def console_page(
        self, config: MonitoringConfig, job_name: str, feature: str | None = None
    ) -> str | None:
        """Return the https address of a job's monitor in a console, or of a feature's drift."""
        return None
