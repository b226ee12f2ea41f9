"""Reports of monitoring runs in Cloud Storage."""

from __future__ import annotations

from urllib.parse import quote

from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY

from transak_drift.core.monitoring_result import MonitoringResult
from transak_drift.core.resource_names import parse_monitoring_job_name
from transak_drift.platforms.vertex.errors import Access, explained

# Within a sensor's tick, which Dagster ends after 60 seconds.
_CALL_SECONDS = 5.0
_RETRY_SECONDS = 12.0
# "Authenticated browser downloads" (Cloud Storage documentation): asks for the reader's account.
_BROWSER_ADDRESS = "https://storage.cloud.google.com"


def write_monitoring_report(
    client: Client, directory: str, result: MonitoringResult, page: str, caller: str | None
) -> str:
    """Write the report of a monitoring run as an object; one that exists is replaced.

    Args:
        client: the client of Cloud Storage.
        directory: `gs://bucket` or `gs://bucket/path`.
        result: the run's result, which names the object.
        page: the report, an HTML document.
        caller: who calls, as an IAM principal, or None where only Google knows.

    Returns:
        Address for the browser of a person who may read the bucket.

    Raises:
        PlatformError: it cannot be written; the message names the missing role where one is.
    """
    bucket, _, path = directory.removeprefix("gs://").partition("/")
    job_id = parse_monitoring_job_name(result.job_name)[3]
    name = "/".join(
        part for part in (path.strip("/"), "drift_reports", f"{result.day}-{job_id}.html") if part
    )
    with explained(Access("storage.objects.create", f"gs://{bucket}", caller)):
        client.bucket(bucket).blob(name).upload_from_string(
            page,
            content_type="text/html; charset=utf-8",
            timeout=_CALL_SECONDS,
            # The same object twice is no harm: the content is the same.
            retry=DEFAULT_RETRY.with_timeout(_RETRY_SECONDS),
        )
    return f"{_BROWSER_ADDRESS}/{bucket}/{quote(name)}"
