"""The monitored model in Vertex AI's model registry, and its versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import Model

# "Model versioning with Model Registry": the version that predicts has this alias.
DEFAULT_ALIAS = "default"


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """One version of a model.

    Args:
        model: resource name of the model, without a version.
        version: the version's id.
        is_default: whether it predicts.
        create_time: when it was uploaded, UTC.
        description: what was written about it.
        labels: its labels.
        artifact_uri: where its files are, or an empty string.
        pipeline_job: resource name of the PipelineJob that made it, or an empty string.
    """

    model: str
    version: str
    is_default: bool
    create_time: datetime
    description: str
    labels: dict[str, str]
    artifact_uri: str
    pipeline_job: str

    @property
    def name(self) -> str:
        """Resource name of the version."""
        return f"{self.model}@{self.version}"


def find_model(connection: VertexConnection, config: MonitoringConfig) -> RegistryVersion:
    """Resolve the configured model name to the version that predicts.

    Args:
        connection: the location's clients.
        config: names the model.

    Returns:
        The default version of the only model of that display name.

    Raises:
        PlatformError: no model, or more than one, has that name.
    """
    from google.cloud.aiplatform_v1 import types

    parent = connection.endpoint.parent
    request = types.ListModelsRequest(
        parent=parent, filter=f"display_name={_quoted(config.model_name)}", page_size=100
    )
    with connection.explained("aiplatform.models.list", parent):
        pages = connection.models.list_models(request=request, **connection.limits.options())
        found = [model for model in pages if model.display_name == config.model_name]
    if not found:
        raise PlatformError(
            f"no model is named {config.model_name!r} in {parent}: upload it, or correct "
            "model_name, project_id or location in the configuration"
        )
    if len(found) > 1:
        names = ", ".join(sorted(model.name for model in found))
        raise PlatformError(
            f"{len(found)} models are named {config.model_name!r} in {parent} ({names}): give all "
            "but one of them another display name, so that model_name says which one is meant"
        )
    return _version(found[0])


def list_versions(connection: VertexConnection, model: str) -> list[RegistryVersion]:
    """List the versions of a model.

    Args:
        connection: the location's clients.
        model: resource name of the model.

    Returns:
        The versions, newest first.

    Raises:
        PlatformError: they cannot be read.
    """
    from google.cloud.aiplatform_v1 import types

    request = types.ListModelVersionsRequest(name=model, page_size=100, order_by="create_time desc")
    with connection.explained("aiplatform.models.get", model):
        pages = connection.models.list_model_versions(
            request=request, **connection.limits.options()
        )
        versions = [_version(item) for item in pages]
    return sorted(versions, key=lambda item: item.create_time, reverse=True)


def read_metrics(connection: VertexConnection, version: RegistryVersion) -> dict[str, float]:
    """Read the newest evaluation of a version.

    Args:
        connection: the location's clients.
        version: the version.

    Returns:
        Its numbers by name; empty where the version was never evaluated.

    Raises:
        PlatformError: they cannot be read.
    """
    from google.cloud.aiplatform_v1 import types

    request = types.ListModelEvaluationsRequest(parent=version.name, page_size=100)
    with connection.explained("aiplatform.modelEvaluations.list", version.name):
        evaluations = list(
            connection.models.list_model_evaluations(request=request, **connection.limits.options())
        )
    if not evaluations:
        return {}
    newest = max(evaluations, key=lambda item: item.create_time)
    metrics = types.ModelEvaluation.to_dict(newest).get("metrics")
    return {
        name: float(value)
        for name, value in (metrics if isinstance(metrics, dict) else {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _version(model: Model) -> RegistryVersion:
    return RegistryVersion(
        model=model.name.partition("@")[0],
        version=model.version_id,
        is_default=DEFAULT_ALIAS in model.version_aliases,
        create_time=_utc(model.version_create_time or model.create_time),
        description=model.version_description,
        labels=dict(model.labels),
        artifact_uri=model.artifact_uri,
        pipeline_job=model.pipeline_job,
    )


def _utc(time: Any) -> datetime:
    # The client gives a datetime for the proto's Timestamp, and None where it is not set.
    return datetime.fromtimestamp(0, UTC) if time is None else time.astimezone(UTC)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
