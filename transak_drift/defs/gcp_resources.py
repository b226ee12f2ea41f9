"""The gcp platform and Pub/Sub as Dagster resources."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.local_resources import EMULATOR_VARIABLE
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import PlatformError
from transak_drift.reports.links import feature_drift_page, model_monitor_page
from transak_drift.settings import Settings

if TYPE_CHECKING:
    from transak_drift.vertex.connection import VertexConnection, VertexEndpoint
    from transak_drift.vertex.platform import VertexPlatform

# A process keeps its connections: a sensor opens the platform at each tick.
_connections: dict[VertexEndpoint, VertexConnection] = {}
_connections_lock = threading.Lock()

_LOG_LOOK_BACK = timedelta(days=7)
_CANCELLED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)


class GcpTriggerQueueResource(TriggerQueueResource):
    """Pub/Sub on Google Cloud, or the server that PUBSUB_EMULATOR_HOST names."""

    impersonate_service_account: str | None = Field(
        default=None, description="Service account to act as."
    )

    def endpoint(self) -> str | None:
        """Return the named server's address, or None for Google Cloud."""
        return os.environ.get(EMULATOR_VARIABLE) or None

    def service_account(self) -> str | None:
        """Return the service account to act as, or None."""
        return self.impersonate_service_account


class GcpPlatformResource(PlatformResource):
    """Monitoring and training on Vertex AI; data in BigQuery and Cloud Storage."""

    vertex_endpoint: str | None = Field(
        default=None, description="host:port in place of the region's own endpoint."
    )
    impersonate_service_account: str | None = Field(
        default=None, description="Service account to act as."
    )
    google_apis_url: str | None = Field(
        default=None, description="http://127.0.0.1:port in place of Cloud Logging."
    )
    cancel_training_with_run: bool = Field(
        default=False, description="Cancel the PipelineJob when its run is cancelled."
    )

    def open(self, config: MonitoringConfig) -> VertexPlatform:
        """Return the platform; no call is made yet."""
        from transak_drift.defs.gcp_data import GcpData
        from transak_drift.vertex.platform import VertexPlatform

        return VertexPlatform(
            connection=self.connect(config),
            data=GcpData(config.project_id, config.location, self.impersonate_service_account),
            is_cancelled=self._cancellation() if self.cancel_training_with_run else None,
        )

    def store_report(
        self, config: MonitoringConfig, result: MonitoringResult, page: str
    ) -> str | None:
        """See `PlatformResource`; `vertex.monitoring_output` is the place for it."""
        from transak_drift.defs.gcp_data import GcpData

        directory = config.vertex.monitoring_output
        if directory is None:
            return None
        data = GcpData(config.project_id, config.location, self.impersonate_service_account)
        return data.write_report(directory, result, page)

    def store_history(self, config: MonitoringConfig, page: str) -> str | None:
        """See `PlatformResource`; `vertex.monitoring_output` is the place for it."""
        from transak_drift.defs.gcp_data import GcpData

        directory = config.vertex.monitoring_output
        if directory is None:
            return None
        data = GcpData(config.project_id, config.location, self.impersonate_service_account)
        return data.write_history(directory, config.model_monitor_id, page)

    def newest_anomaly_entry(self, config: MonitoringConfig) -> dict[str, Any] | None:
        """See `PlatformResource`; a log that cannot be read has none."""
        from transak_drift.google_cloud.log_entries import newest_entries
        from transak_drift.google_cloud.session import RestSession

        try:
            # Within a sensor's tick, which Dagster ends after 60 seconds.
            session = RestSession(
                self.google_apis_url, self.impersonate_service_account, attempts=1, seconds=5.0
            )
            monitors = self.open(config).own_monitors(config).monitor_ids
            since = datetime.now(UTC) - _LOG_LOOK_BACK
            entries = newest_entries(session, config, monitors, since, 1)
        except PlatformError:
            return None
        return entries[0] if entries else None

    def monitor_page(self, config: MonitoringConfig) -> str:
        """See `PlatformResource`; the page of the ModelMonitor in the Google Cloud console."""
        return model_monitor_page(config.project_id, config.location, config.model_monitor_id)

    def feature_pages(
        self, config: MonitoringConfig, result: MonitoringResult
    ) -> Mapping[str, str]:
        """See `PlatformResource`; the pages of the monitoring job in the Google Cloud console."""
        return {
            feature.feature: feature_drift_page(result.job_name, feature.feature, config.project_id)
            for feature in result.features
        }

    def connect(self, config: MonitoringConfig) -> VertexConnection:
        """Return this process's connection to Vertex AI in the model's project and region."""
        from transak_drift.vertex.connection import VertexConnection, VertexEndpoint

        endpoint = VertexEndpoint(
            config.project_id,
            config.location,
            self.vertex_endpoint,
            self.impersonate_service_account,
        )
        with _connections_lock:
            return _connections.setdefault(endpoint, VertexConnection(endpoint))

    def _cancellation(self) -> Callable[[str], bool]:
        instance = self.get_resource_context().instance

        def is_cancelled(run_id: str) -> bool:
            run = None if instance is None else instance.get_run_by_id(run_id)
            return run is not None and run.status in _CANCELLED

        return is_cancelled


def gcp_trigger_queue_resource(settings: Settings) -> GcpTriggerQueueResource:
    """Return the trigger queue of the gcp platform."""
    return GcpTriggerQueueResource(impersonate_service_account=settings.impersonate_service_account)


def gcp_platform_resource(settings: Settings) -> GcpPlatformResource:
    """Return the gcp platform.

    Args:
        settings: the process's settings.

    Returns:
        The resource; nothing is imported or connected yet.
    """
    return GcpPlatformResource(
        vertex_endpoint=settings.vertex_endpoint,
        impersonate_service_account=settings.impersonate_service_account,
        google_apis_url=settings.google_apis_url,
        cancel_training_with_run=settings.cancel_training_with_run,
    )
