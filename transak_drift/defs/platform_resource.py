"""The platform as a Dagster resource: the same key `platform` for local and gcp."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import DriftPlatform


class PlatformResource(dg.ConfigurableResource, ABC):
    """A platform; assets know no more of it than `DriftPlatform` and where its pages are.

    A page is kept as an HTML document that replaces the one before. Where a person opens it is an
    absolute path or an https address; None where the configuration names no place for it. One that
    cannot be written raises `PlatformError`, whose message says what to do.
    """

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
