"""The gcp platform, its data and Pub/Sub as Dagster resources."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.local_resources import EMULATOR_VARIABLE
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import Dataset, PlatformError
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
_BIGQUERY = "bq://"
_CLOUD_STORAGE = "gs://"
_WILDCARDS = "*?["
_CALL_SECONDS = 30.0
_QUERY_SECONDS = 120.0


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
        from transak_drift.vertex.platform import VertexPlatform

        return VertexPlatform(
            connection=self.connect(config),
            data=self._data(config),
            is_cancelled=self._cancellation() if self.cancel_training_with_run else None,
        )

    def store_report(
        self, config: MonitoringConfig, result: MonitoringResult, page: str
    ) -> str | None:
        """Keep the report below `vertex.monitoring_output`."""
        from transak_drift.vertex.report_store import write_monitoring_report

        data, directory = self._data(config), config.vertex.monitoring_output
        if directory is None:
            return None
        return write_monitoring_report(data.storage_client(), directory, result, page, data.caller)

    def store_history(self, config: MonitoringConfig, page: str) -> str | None:
        """Keep the history below `vertex.monitoring_output`, which models may share."""
        from transak_drift.vertex.report_store import write_drift_history

        data, directory = self._data(config), config.vertex.monitoring_output
        if directory is None:
            return None
        return write_drift_history(
            data.storage_client(), directory, config.model_monitor_id, page, data.caller
        )

    def newest_anomaly_entry(self, config: MonitoringConfig) -> dict[str, Any] | None:
        """Read Cloud Logging; a log that cannot be read has no entry."""
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
        """Return the page of the ModelMonitor in the Google Cloud console."""
        return model_monitor_page(config.project_id, config.location, config.model_monitor_id)

    def feature_pages(
        self, config: MonitoringConfig, result: MonitoringResult
    ) -> Mapping[str, str]:
        """Return the pages of the monitoring job in the Google Cloud console."""
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

    def _data(self, config: MonitoringConfig) -> GcpData:
        return GcpData(config.project_id, config.location, self.impersonate_service_account)

    def _cancellation(self) -> Callable[[str], bool]:
        instance = self.get_resource_context().instance

        def is_cancelled(run_id: str) -> bool:
            run = None if instance is None else instance.get_run_by_id(run_id)
            return run is not None and run.status in _CANCELLED

        return is_cancelled


class GcpData:
    """Data in BigQuery and Cloud Storage, through dagster-gcp's resources."""

    def __init__(self, project_id: str, location: str, service_account: str | None = None) -> None:
        self._project_id = project_id
        self._location = location
        self._service_account = service_account

    @property
    def caller(self) -> str | None:
        """Who calls, as in IAM, or None for the default credentials."""
        return None if self._service_account is None else f"serviceAccount:{self._service_account}"

    def describe(self, address: str, day: date, date_column: str | None) -> Dataset:
        """Find a day's data, as `transak_drift.vertex.platform.StoredData` says."""
        if address.startswith(_BIGQUERY):
            rows = self._table_rows(address, day, date_column)
            if rows == 0:
                raise PlatformError(f"{address} has no rows of {day}; write them first")
            return Dataset(address, rows)
        if address.startswith(_CLOUD_STORAGE):
            if not self._has_object(address):
                raise PlatformError(f"{address} matches no object; write the data of {day} first")
            return Dataset(address, None)
        raise PlatformError(f"{address} is neither {_BIGQUERY} nor {_CLOUD_STORAGE}")

    def _table_rows(self, address: str, day: date, date_column: str | None) -> int:
        from transak_drift.vertex.errors import Access, explained

        table = address.removeprefix(_BIGQUERY)
        with (
            explained(Access("bigquery.tables.getData", address, self.caller)),
            self._bigquery_client() as client,
        ):
            if date_column is None:
                return int(client.get_table(table, timeout=_CALL_SECONDS).num_rows or 0)
            if "`" in date_column or "\\" in date_column:
                raise PlatformError(f"date_column = {date_column!r} is no column of BigQuery")
            query = (
                f"SELECT COUNT(*) AS row_count FROM `{table}` "
                f"WHERE CAST(`{date_column}` AS DATE) = DATE '{day.isoformat()}'"
            )
            job = client.query(query, timeout=_CALL_SECONDS)
            return int(next(iter(job.result(timeout=_QUERY_SECONDS)))["row_count"])

    def _has_object(self, address: str) -> bool:
        from transak_drift.vertex.errors import Access, explained

        bucket, _, pattern = address.removeprefix(_CLOUD_STORAGE).partition("/")
        first_wildcard = min(
            (pattern.index(sign) for sign in _WILDCARDS if sign in pattern), default=len(pattern)
        )
        with explained(Access("storage.objects.list", f"gs://{bucket}", self.caller)):
            blobs = self.storage_client().list_blobs(
                bucket, prefix=pattern[:first_wildcard], timeout=_CALL_SECONDS
            )
            return any(fnmatchcase(blob.name, pattern) for blob in blobs)

    @contextmanager
    def _bigquery_client(self) -> Generator[Any]:
        from dagster_gcp import BigQueryResource

        resource = BigQueryResource(project=self._project_id, location=self._location)
        with resource.get_client() as client:
            yield self._acting(client, location=self._location)

    def storage_client(self) -> Any:
        """Return a client of Cloud Storage that acts as the caller."""
        from dagster_gcp import GCSResource

        return self._acting(GCSResource(project=self._project_id).get_client())

    def _acting(self, client: Any, **options: Any) -> Any:
        """Return the client, or one of its kind that acts as the service account."""
        if self._service_account is None:
            return client
        from transak_drift.google_cloud.credentials import load_credentials

        # dagster-gcp's resources know application default credentials and key files alone.
        credentials = load_credentials(self._service_account)
        return type(client)(project=self._project_id, credentials=credentials, **options)


def gcp_trigger_queue_resource(settings: Settings) -> GcpTriggerQueueResource:
    """Return the trigger queue of the gcp platform."""
    return GcpTriggerQueueResource(impersonate_service_account=settings.impersonate_service_account)


def gcp_platform_resource(settings: Settings) -> GcpPlatformResource:
    """Return the gcp platform; nothing is imported or connected yet."""
    return GcpPlatformResource(
        vertex_endpoint=settings.vertex_endpoint,
        impersonate_service_account=settings.impersonate_service_account,
        google_apis_url=settings.google_apis_url,
        cancel_training_with_run=settings.cancel_training_with_run,
    )
