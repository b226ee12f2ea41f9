"""The monitored model in Vertex AI's model registry, and its versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import Model

# "Model versioning with Model Registry": a list of models gives the version with this alias.
DEFAULT_ALIAS = "default"


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """One version of a model; `model` is the model's resource name without a version."""

    model: str
    version: str
    aliases: tuple[str, ...]
    create_time: datetime
    description: str
    artifact_uri: str
    pipeline_job: str

    @property
    def name(self) -> str:
        """Resource name of the version."""
        return f"{self.model}@{self.version}"

    @property
    def model_id(self) -> str:
        """Last part of the model's resource name."""
        return self.model.rpartition("/")[2]


def find_model(connection: VertexConnection, config: MonitoringConfig) -> RegistryVersion:
    """Resolve the configured model name and alias to the version that predicts.

    Raises:
        PlatformError: no model, or more than one, has that name, or no version has the alias.
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
    if config.model_alias in found[0].version_aliases:
        return _version(found[0])
    return _find_alias(connection, found[0], config.model_alias)


def list_versions(connection: VertexConnection, model: str) -> list[RegistryVersion]:
    """List the versions of a model, newest first."""
    from google.cloud.aiplatform_v1 import types

    request = types.ListModelVersionsRequest(name=model, page_size=100, order_by="create_time desc")
    with connection.explained("aiplatform.models.get", model):
        pages = connection.models.list_model_versions(
            request=request, **connection.limits.options()
        )
        versions = [_version(item) for item in pages]
    return sorted(versions, key=lambda item: item.create_time, reverse=True)


def read_metrics(connection: VertexConnection, version: RegistryVersion) -> dict[str, float]:
    """Read the numbers of a version's newest evaluation; none where it was never evaluated."""
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


def _find_alias(connection: VertexConnection, model: Model, alias: str) -> RegistryVersion:
    from google.cloud.aiplatform_v1 import types

    name = f"{connection.endpoint.parent}/models/{model.name.partition('@')[0].rpartition('/')[2]}"
    request = types.GetModelRequest(name=f"{name}@{alias}")
    with connection.explained("aiplatform.models.get", name):
        try:
            found = connection.models.get_model(request=request, **connection.limits.options())
        except exceptions.NotFound as error:
            raise PlatformError(
                f"no version of {name} has the alias {alias!r}: give it to the version that "
                "predicts, or correct model_alias in the configuration"
            ) from error
    return _version(found)


def _version(model: Model) -> RegistryVersion:
    return RegistryVersion(
        model=model.name.partition("@")[0],
        version=model.version_id,
        aliases=tuple(model.version_aliases),
        create_time=_utc(model.version_create_time or model.create_time),
        description=model.version_description,
        artifact_uri=model.artifact_uri,
        pipeline_job=model.pipeline_job,
    )


def _utc(time: Any) -> datetime:
    # The client gives a datetime for the proto's Timestamp, and None where it is not set.
    return datetime.fromtimestamp(0, UTC) if time is None else time.astimezone(UTC)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
