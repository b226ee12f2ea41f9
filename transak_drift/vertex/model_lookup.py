"""The monitored model in Vertex AI's model registry, and its versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from google.cloud.aiplatform_v1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import quoted


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
        return f"{self.model}@{self.version}"

    @property
    def model_id(self) -> str:
        return self.model.rpartition("/")[2]


def find_model(connection: VertexConnection, config: MonitoringConfig) -> RegistryVersion:
    """Resolve the configured model name and alias to the version that predicts.

    Raises:
        PlatformError: no model, or more than one, has that name, or no version has the alias.
    """
    parent, alias = connection.endpoint.parent, config.model_alias
    listed = connection.list_all(
        connection.models.list_models,
        "aiplatform.models.list",
        parent,
        parent=parent,
        filter=f"display_name={quoted(config.model_name)}",
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
    if alias in found[0].version_aliases:
        return _version(found[0])
    name = f"{parent}/models/{_version(found[0]).model_id}"
    get = connection.models.get_model
    model = connection.find(get, "aiplatform.models.get", f"{name}@{alias}")
    if model is None:
        raise PlatformError(
            f"no version of {name} has the alias {alias!r}: give it to the version that "
            "predicts, or correct model_alias in the configuration"
        )
    return _version(model)


def list_versions(connection: VertexConnection, model: str) -> list[RegistryVersion]:
    """List the versions of a model, newest first."""
    versions = connection.list_all(
        connection.models.list_model_versions, "aiplatform.models.get", model, name=model
    )
    return sorted(map(_version, versions), key=lambda item: item.create_time, reverse=True)


def read_metrics(connection: VertexConnection, version: RegistryVersion) -> dict[str, float]:
    """Read the numbers of a version's newest evaluation; none where it was never evaluated."""
    evaluations = connection.list_all(
        connection.models.list_model_evaluations,
        "aiplatform.modelEvaluations.list",
        version.name,
        parent=version.name,
    )
    if not evaluations:
        return {}
    newest = max(evaluations, key=lambda item: item.create_time)
    metrics = types.ModelEvaluation.to_dict(newest).get("metrics")
    return numbers_of(metrics if isinstance(metrics, dict) else {})


def numbers_of(values: dict[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _version(model: types.Model) -> RegistryVersion:
    created = model.version_create_time or model.create_time
    return RegistryVersion(
        model=model.name.partition("@")[0],
        version=model.version_id,
        aliases=tuple(model.version_aliases),
        create_time=created.astimezone(UTC) if created else datetime.fromtimestamp(0, UTC),
        description=model.version_description,
        artifact_uri=model.artifact_uri,
        pipeline_job=model.pipeline_job,
    )
