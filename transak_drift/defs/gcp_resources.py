"""The gcp platform and its data as Dagster resources."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg
from pydantic import Field

from transak_drift.config.data_source import BIGQUERY, DataSource, quote_identifier
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import Dataset, NoDataError, PlatformError
from transak_drift.reports import links
from transak_drift.settings import Settings
from transak_drift.training.labels import LabelCounts, count_query, read_counts

if TYPE_CHECKING:
    from google.cloud.bigquery import QueryJobConfig

    from transak_drift.vertex.connection import VertexConnection
    from transak_drift.vertex.platform import VertexPlatform

_OR_ALLOW = 'write them first, or set "empty_windows": "allowed" where there may be none'
_LOG_LOOK_BACK = timedelta(days=7)
_CANCELLED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
_CALL_SECONDS = 30.0
_QUERY_SECONDS = 120.0
# Within a sensor's tick, which Dagster ends after 60 seconds.
_UPLOAD_SECONDS = 5.0
_UPLOAD_RETRY_SECONDS = 12.0
# "Authenticated browser downloads" (Cloud Storage documentation): asks for the reader's account.
_BROWSER_ADDRESS = "https://storage.cloud.google.com"


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
        from transak_drift.vertex.platform import VertexPlatform

        data = self.data(config)
        found = (data.describe, data.count_labels)
        return VertexPlatform(self.connect(config), *found, self._is_cancelled)

    def store_report(
        self, config: MonitoringConfig, result: MonitoringResult, page: str
    ) -> str | None:
        # A window without rows has no job.
        job_id = parse_monitoring_job_name(result.job_name)[3] if result.job_name else "empty"
        return self._store(config, f"{result.window.key}-{job_id}.html", page)

    def store_history(self, config: MonitoringConfig, page: str) -> str | None:
        return self._store(config, f"history-{config.model_monitor_id}.html", page)

    def store_model(self, config: MonitoringConfig, version: str, page: str) -> str | None:
        return self._store(config, f"model-{config.model_monitor_id}-{version}.html", page)

    def newest_anomaly_entry(self, config: MonitoringConfig) -> dict[str, Any] | None:
        """Read Cloud Logging; a log that cannot be read has no entry."""
        from transak_drift.google_cloud.inspection import newest_entries
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

    def console_page(
        self, config: MonitoringConfig, job_name: str, feature: str | None = None
    ) -> str:
        """Return the page in the Google Cloud console."""
        return links.console_page(job_name, config.project_id, feature)

    def connect(self, config: MonitoringConfig) -> VertexConnection:
        """Return this process's connection to Vertex AI in the model's project and region."""
        return _connection(
            config.project_id,
            config.location,
            self.vertex_endpoint,
            self.impersonate_service_account,
        )

    def data(self, config: MonitoringConfig) -> GcpData:
        """Return the model's data in BigQuery and Cloud Storage."""
        return GcpData(config.project_id, config.location, self.impersonate_service_account)

    def _store(self, config: MonitoringConfig, file_name: str, page: str) -> str | None:
        # Models may share the directory.
        directory = config.vertex.monitoring_output
        return directory and self.data(config).write_page(directory, file_name, page)

    def _is_cancelled(self, run_id: str) -> bool:
        instance = self.get_resource_context().instance
        if not self.cancel_training_with_run or instance is None:
            return False
        run = instance.get_run_by_id(run_id)
        return run is not None and run.status in _CANCELLED


@cache
def _connection(
    project_id: str, location: str, address: str | None, service_account: str | None
) -> VertexConnection:
    """Keep the connections of a process: a sensor opens the platform at each tick."""
    from transak_drift.vertex.connection import VertexConnection

    return VertexConnection(project_id, location, address, service_account)


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query as BigQuery has checked it: the bytes that it would read, and from which tables."""

    processed_bytes: int
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GcpData:
    """Data in BigQuery and Cloud Storage, through dagster-gcp's resources."""

    project_id: str
    location: str
    service_account: str | None = None

    def describe(self, source: DataSource, window: Window) -> Dataset:
        """Find a window's data, with the rows where counting them needs no scan of files.

        A `NoDataError` tells that there are none of that window, another `PlatformError` why they
        cannot be read.
        """
        rows = None
        if source.query or source.address.startswith(BIGQUERY):
            rows = self._count_rows(source)
            if rows == 0:
                raise NoDataError(f"{source} has no rows of {window}; {_OR_ALLOW}")
        elif not self._has_object(source.address):
            raise NoDataError(f"{source} matches no object of {window}; {_OR_ALLOW}")
        return Dataset(str(source), rows)

    def count_labels(self, source: DataSource, column: str, named_by: str) -> LabelCounts:
        """Count the labels in a column of rows in BigQuery, by one query.

        Rows without a label are named by another column. A `PlatformError` tells why they cannot be
        counted.
        """
        try:
            label, value = quote_identifier(column), quote_identifier(named_by)
        except ValueError as error:
            raise PlatformError(str(error)) from None
        texts = f"CAST({label} AS STRING) AS label, CAST({value} AS STRING) AS value"
        query = count_query(f"SELECT {texts} FROM {_relation(source)}")
        found = self._execute(query, source)
        rows = [(row["part"], row["text"], row["row_count"]) for row in found]
        return read_counts(rows, named_by)

    def check_query(self, query: str) -> CheckedQuery:
        """Let BigQuery check a query without running it, which costs nothing.

        A `PlatformError` tells what is wrong with its text, or which right is missing.
        """
        resource = f"projects/{self.project_id} or on the tables that the query reads"
        with self._bigquery("bigquery.tables.getData", resource) as client:
            job = client.query(query, job_config=_job_config(dry_run=True), timeout=_CALL_SECONDS)
            read = (f"{t.project}.{t.dataset_id}.{t.table_id}" for t in job.referenced_tables)
            return CheckedQuery(int(job.total_bytes_processed or 0), tuple(read))

    def lets_read(self, dataset: str, principal: str) -> bool:
        """Whether the access list of `project.dataset` names an IAM principal.

        What is granted on the whole project is not seen.
        """
        try:
            with self._bigquery("bigquery.datasets.get", dataset) as client:
                entries = client.get_dataset(dataset, timeout=_CALL_SECONDS).access_entries
        except PlatformError:
            return False
        account = principal.partition(":")[2]
        named = {str(entry.entity_id).removeprefix("serviceAccount:") for entry in entries}
        return account in named

    def write_page(self, directory: str, file_name: str, page: str) -> str:
        """Write a page below `gs://bucket/path`; returns its address for a browser."""
        from google.cloud.storage.retry import DEFAULT_RETRY

        bucket, _, path = directory.removeprefix("gs://").partition("/")
        name = "/".join(part for part in (path.strip("/"), "drift_reports", file_name) if part)
        with self._explained("storage.objects.create", f"gs://{bucket}"):
            blob = self._storage_client().bucket(bucket).blob(name)
            blob.upload_from_string(
                page,
                content_type="text/html; charset=utf-8",
                timeout=_UPLOAD_SECONDS,
                # The same object twice is no harm: the newer content stands.
                retry=DEFAULT_RETRY.with_timeout(_UPLOAD_RETRY_SECONDS),
            )
        return f"{_BROWSER_ADDRESS}/{bucket}/{quote(name)}"

    def _count_rows(self, source: DataSource) -> int:
        if not source.query and source.time_column is None:
            table = source.address.removeprefix(BIGQUERY)
            with self._bigquery("bigquery.tables.getData", str(source)) as client:
                return int(client.get_table(table, timeout=_CALL_SECONDS).num_rows or 0)
        query = f"SELECT COUNT(*) AS row_count FROM {_relation(source)}"
        return int(self._execute(query, source)[0]["row_count"])

    def _execute(self, query: str, source: DataSource) -> list[Any]:
        """Run a query that counts rows of a source; returns its few rows."""
        with self._bigquery("bigquery.tables.getData", str(source)) as client:
            job = client.query(query, job_config=_job_config(), timeout=_CALL_SECONDS)
            try:
                return list(job.result(timeout=_QUERY_SECONDS))
            except TimeoutError:
                raise PlatformError(
                    f"the rows of {source} were not counted within {_QUERY_SECONDS:g} s; choose "
                    "fewer rows, or partition the table by what its WHERE names"
                ) from None

    @contextmanager
    def _bigquery(self, permission: str, resource: str) -> Generator[Any]:
        from dagster_gcp import BigQueryResource

        resource_of_dagster = BigQueryResource(project=self.project_id, location=self.location)
        with self._explained(permission, resource), resource_of_dagster.get_client() as client:
            yield self._acting(client, location=self.location)

    def _has_object(self, address: str) -> bool:
        bucket, _, pattern = address.removeprefix("gs://").partition("/")
        prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        with self._explained("storage.objects.list", f"gs://{bucket}"):
            blobs = self._storage_client().list_blobs(bucket, prefix=prefix, timeout=_CALL_SECONDS)
            return any(fnmatchcase(blob.name, pattern) for blob in blobs)

    def _storage_client(self) -> Any:
        from dagster_gcp import GCSResource

        return self._acting(GCSResource(project=self.project_id).get_client())

    def _explained(self, permission: str, resource: str) -> AbstractContextManager[None]:
        from transak_drift.vertex.connection import explained

        return explained(permission, resource, self.service_account)

    def _acting(self, client: Any, **options: Any) -> Any:
        """Return the client, or one of its kind that acts as the service account."""
        if self.service_account is None:
            return client
        from transak_drift.google_cloud.session import load_credentials

        # dagster-gcp's resources know application default credentials and key files alone.
        credentials = load_credentials(self.service_account)
        return type(client)(project=self.project_id, credentials=credentials, **options)


def _relation(source: DataSource) -> str:
    """Write what stands after FROM for the rows of a source in BigQuery."""
    if source.query:
        # A comment may be its last line.
        return f"(\n{source.query}\n)"
    table = quote_identifier(source.address.removeprefix(BIGQUERY))
    if source.time_column is None or source.interval is None:
        return table
    start, end = source.interval
    time = f"CAST({quote_identifier(source.time_column)} AS TIMESTAMP)"
    return f"{table} WHERE {time} >= TIMESTAMP '{start}' AND {time} < TIMESTAMP '{end}'"


def _job_config(*, dry_run: bool = False) -> QueryJobConfig:
    from google.cloud.bigquery import QueryJobConfig

    # BigQuery itself ends what nobody waits for any longer.
    milliseconds = int(_QUERY_SECONDS * 1000)
    return QueryJobConfig(dry_run=dry_run, use_query_cache=True, job_timeout_ms=milliseconds)


def gcp_platform_resource(settings: Settings) -> GcpPlatformResource:
    """Return the gcp platform; nothing is imported or connected yet."""
    return GcpPlatformResource(
        heartbeat_seconds=settings.heartbeat_seconds,
        vertex_endpoint=settings.vertex_endpoint,
        impersonate_service_account=settings.impersonate_service_account,
        google_apis_url=settings.google_apis_url,
        cancel_training_with_run=settings.cancel_training_with_run,
    )
