"""The platform as a Dagster resource: the same key `platform` for local and gcp."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import DriftPlatform


class PlatformResource(dg.ConfigurableResource, ABC):
    """A platform; assets know no more of it than `DriftPlatform`."""

    @abstractmethod
    def open(self, config: MonitoringConfig) -> DriftPlatform:
        """Return the platform, ready for use.

        Args:
            config: the monitored model; on gcp it names project and region.
        """

    @abstractmethod
    def store_report(
        self, config: MonitoringConfig, result: MonitoringResult, page: str
    ) -> str | None:
        """Keep the report of a monitoring run; written again, it is replaced.

        Args:
            config: the monitored model.
            result: the run's result, which names the run.
            page: the HTML document.

        Returns:
            Where a person opens it: an absolute path or an https address. None where the
            configuration names no place for it.

        Raises:
            PlatformError: it cannot be written; the message says what to do.
        """

    @abstractmethod
    def store_history(self, config: MonitoringConfig, page: str) -> str | None:
        """Keep the drift history of a model beside its reports; written again, it is replaced.

        Args:
            config: the monitored model.
            page: the HTML document.

        Returns:
            Where a person opens it, as of `store_report`.

        Raises:
            PlatformError: it cannot be written; the message says what to do.
        """

    def newest_anomaly_entry(self, config: MonitoringConfig) -> dict[str, Any] | None:
        """Return the newest entry that the model's monitors wrote to the log, as it stands there.

        None where there is none, or it cannot be read.
        """
        return None

    def monitor_page(self, config: MonitoringConfig) -> str | None:
        """Return the https address of the monitor's page in a console, or None without one."""
        return None

    def feature_pages(
        self, config: MonitoringConfig, result: MonitoringResult
    ) -> Mapping[str, str]:
        """Return by feature the https address of its page in a console; empty without one."""
        return {}
