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


def model_monitor_page(project: str, location: str, model_monitor_id: str) -> str:
    """Return where the Google Cloud console shows a ModelMonitor of a project, id or number.

    Source: the address that `ModelMonitor.create` of the Vertex AI SDK for Python logs
    (google-cloud-aiplatform 1.x, `vertexai.resources.preview.ml_monitoring`).
    """
    monitor = quote(model_monitor_id, safe="")
    return (
        f"{_CONSOLE}/locations/{quote(location, safe='')}/model-monitors/{monitor}"
        f"?{urlencode({'project': project})}"
    )


def feature_drift_page(job_name: str, feature: str, project_id: str | None = None) -> str:
    """Return where the Google Cloud console shows what a monitoring job found of a feature.

    The project's id is given where the resource name has its number, which the console's addresses
    are not documented with. Source: `visualization_link` in the BigQuery ML documentation, "The
    ML.VALIDATE_DATA_SKEW function". A job's page without a feature is documented nowhere.

    Raises:
        ValueError: the resource name has another form.
    """
    project, location, monitor, job = parse_monitoring_job_name(job_name)
    return (
        f"{_CONSOLE}/locations/{location}/model-monitors/{monitor}/model-monitoring-jobs/{job}"
        f"/feature-drift?{urlencode({'project': project_id or project, 'featureName': feature})}"
    )
