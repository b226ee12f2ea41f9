"""Addresses that a person opens: pages of the Dagster UI and of the Google Cloud console."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from transak_drift.config.resource_names import parse_monitoring_job_name

_CONSOLE = "https://console.cloud.google.com/vertex-ai/model-monitoring"


def asset_partition_page(asset_path: Sequence[str], partition: str) -> str:
    """Return the path of an asset's partition in the Dagster UI; the host is the reader's affair.

    The form is that of Dagster's own links in version 1.13; it is not documented.
    """
    path = "/".join(quote(part, safe="") for part in asset_path)
    return f"/assets/{path}?{urlencode({'view': 'partitions', 'partition': partition})}"


def decision_page(job: str, operation: str, event: str, decision: str) -> str:
    """Return the path of the launchpad in which a decision about a drift event is filled in.

    Its job is found in whatever code location has it. The form is that of Dagster's UI in version
    1.13; it is not documented.
    """
    filled_in = {"event": event, "decision": decision, "reason": '""', "by": '""'}
    lines = [f"      {name}: {value}" for name, value in filled_in.items()]
    text = "\n".join(["ops:", f"  {operation}:", "    config:", *lines, ""])
    return f"/guess/{quote(job, safe='')}/playground/setup?{urlencode({'config': text})}"


def console_page(job_name: str, project_id: str, feature: str | None = None) -> str:
    """Return where the Google Cloud console shows a job's monitor, or what it found of a feature.

    The addresses have the project's id, a resource name may have its number. Sources: the address
    that `ModelMonitor.create` of the Vertex AI SDK for Python logs (google-cloud-aiplatform 1.x,
    `vertexai.resources.preview.ml_monitoring`), and `visualization_link` in the BigQuery ML
    documentation, "The ML.VALIDATE_DATA_SKEW function". A job's page without a feature is
    documented nowhere. A resource name of another form raises a ValueError.
    """
    _, location, monitor, job = parse_monitoring_job_name(job_name)
    page = f"{_CONSOLE}/locations/{location}/model-monitors/{monitor}"
    if feature is None:
        return f"{page}?{urlencode({'project': project_id})}"
    query = urlencode({"project": project_id, "featureName": feature})
    return f"{page}/model-monitoring-jobs/{job}/feature-drift?{query}"
