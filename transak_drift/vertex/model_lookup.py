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
    parent = connection.endpoint.parent
    listed = connection.list_all(
        connection.models.list_models,
        "aiplatform.models.list",
        parent,
        {"parent": parent, "filter": f"display_name={_quoted(config.model_name)}"},
    )
    found = [model for model in listed if model.display_name == config.model_name]
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
    # A list gives the default version of each model ("Model versioning with Model Registry").
    if config.model_alias in found[0].version_aliases:
        return _version(found[0])
    return _find_alias(connection, found[0], config.model_alias)


def list_versions(connection: VertexConnection, model: str) -> list[RegistryVersion]:
    """List the versions of a model, newest first."""
    versions = connection.list_all(
        connection.models.list_model_versions,
        "aiplatform.models.get",
        model,
        {"name": model, "order_by": "create_time desc"},
    )
    return sorted(map(_version, versions), key=lambda item: item.create_time, reverse=True)


def read_metrics(connection: VertexConnection, version: RegistryVersion) -> dict[str, float]:
    """Read the numbers of a version's newest evaluation; none where it was never evaluated."""
    from google.cloud.aiplatform_v1 import types

    evaluations = connection.list_all(
        connection.models.list_model_evaluations,
        "aiplatform.modelEvaluations.list",
        version.name,
        {"parent": version.name},
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
    model_id = model.name.partition("@")[0].rpartition("/")[2]
    name = f"{connection.endpoint.parent}/models/{model_id}"
    get = connection.models.get_model
    found = connection.find(get, "aiplatform.models.get", name, {"name": f"{name}@{alias}"})
    if found is None:
        raise PlatformError(
            f"no version of {name} has the alias {alias!r}: give it to the version that "
            "predicts, or correct model_alias in the configuration"
        )
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
