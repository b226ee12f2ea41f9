"""Data in BigQuery and Cloud Storage, through dagster-gcp's resources."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.google_cloud.credentials import load_credentials
from transak_drift.platform import Dataset, PlatformError

_BIGQUERY = "bq://"
_CLOUD_STORAGE = "gs://"
_WILDCARDS = "*?["
_CALL_SECONDS = 30.0
_QUERY_SECONDS = 120.0


class GcpData:
    """Data in the cloud; implements `transak_drift.vertex.platform.StoredData`.

    Args:
        project_id: project that pays for queries.
        location: region of the queries.
        service_account: e-mail of the service account to act as, or None.
    """

    def __init__(self, project_id: str, location: str, service_account: str | None = None) -> None:
        self._project_id = project_id
        self._location = location
        self._service_account = service_account

    def describe(self, address: str, day: date, date_column: str | None) -> Dataset:
        """See `StoredData`."""
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

    def write_report(self, directory: str, result: MonitoringResult, page: str) -> str:
        """Write the report of a monitoring run to Cloud Storage.

        Args:
            directory: `gs://bucket/path`.
            result: the run's result, which names the object.
            page: the report, an HTML document.

        Returns:
            Address for a person's browser.

        Raises:
            PlatformError: it cannot be written; the message says what to do.
        """
        from transak_drift.vertex.report_store import write_monitoring_report

        return write_monitoring_report(
            self._storage_client(), directory, result, page, self._caller
        )

    def write_history(self, directory: str, model_monitor_id: str, page: str) -> str:
        """Write the drift history of a model beside its reports.

        Args:
            directory: `gs://bucket` or `gs://bucket/path`.
            model_monitor_id: the model's monitor; models may share the directory.
            page: the history, an HTML document.

        Returns:
            The https address for the browser of a person who may read the bucket.

        Raises:
            PlatformError: it cannot be written; the message says what to do.
        """
        from transak_drift.vertex.report_store import write_drift_history

        return write_drift_history(
            self._storage_client(), directory, model_monitor_id, page, self._caller
        )

    def _table_rows(self, address: str, day: date, date_column: str | None) -> int:
        from transak_drift.vertex.errors import Access, explained

        table = address.removeprefix(_BIGQUERY)
        with (
            explained(Access("bigquery.tables.getData", address, self._caller)),
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
        with explained(Access("storage.objects.list", f"gs://{bucket}", self._caller)):
            blobs = self._storage_client().list_blobs(
                bucket, prefix=pattern[:first_wildcard], timeout=_CALL_SECONDS
            )
            return any(fnmatchcase(blob.name, pattern) for blob in blobs)

    @property
    def _caller(self) -> str | None:
        return None if self._service_account is None else f"serviceAccount:{self._service_account}"

    @contextmanager
    def _bigquery_client(self) -> Generator[Any]:
        from dagster_gcp import BigQueryResource

        resource = BigQueryResource(project=self._project_id, location=self._location)
        with resource.get_client() as client:
            yield self._acting(client, location=self._location)

    def _storage_client(self) -> Any:
        from dagster_gcp import GCSResource

        return self._acting(GCSResource(project=self._project_id).get_client())

    def _acting(self, client: Any, **options: Any) -> Any:
        """Return the client, or one of its kind that acts as the service account."""
        if self._service_account is None:
            return client
        # dagster-gcp's resources know application default credentials and key files alone.
        credentials = load_credentials(self._service_account)
        return type(client)(project=self._project_id, credentials=credentials, **options)
