"""Reports of monitoring runs in Cloud Storage."""

from __future__ import annotations

from urllib.parse import quote

from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY

from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.vertex.errors import Access, explained

# Within a sensor's tick, which Dagster ends after 60 seconds.
_CALL_SECONDS = 5.0
_RETRY_SECONDS = 12.0
# "Authenticated browser downloads" (Cloud Storage documentation): asks for the reader's account.
_BROWSER_ADDRESS = "https://storage.cloud.google.com"


def write_monitoring_report(
    client: Client, directory: str, result: MonitoringResult, page: str, caller: str | None
) -> str:
    """Write the report of a result below `gs://bucket/path`; returns its address for a browser."""
    job_id = parse_monitoring_job_name(result.job_name)[3]
    return _write_page(client, directory, f"{result.day}-{job_id}.html", page, caller)


def write_drift_history(
    client: Client, directory: str, model_monitor_id: str, page: str, caller: str | None
) -> str:
    """Write the drift history of a model as `write_monitoring_report` writes a report."""
    return _write_page(client, directory, f"history-{model_monitor_id}.html", page, caller)


def _write_page(
    client: Client, directory: str, file_name: str, page: str, caller: str | None
) -> str:
    bucket, _, path = directory.removeprefix("gs://").partition("/")
    name = "/".join(part for part in (path.strip("/"), "drift_reports", file_name) if part)
    with explained(Access("storage.objects.create", f"gs://{bucket}", caller)):
        client.bucket(bucket).blob(name).upload_from_string(
            page,
            content_type="text/html; charset=utf-8",
            timeout=_CALL_SECONDS,
            # The same object twice is no harm: the newer content stands.
            retry=DEFAULT_RETRY.with_timeout(_RETRY_SECONDS),
        )
    return f"{_BROWSER_ADDRESS}/{bucket}/{quote(name)}"
