"""The compiled training pipeline, and the PipelineJob that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import CLOUD_STORAGE

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

_HTTPS = "https://"


def load_template(connection: VertexConnection, address: str) -> dict[str, Any]:
    """Read a compiled pipeline from a local path, Cloud Storage or Artifact Registry.

    Returns:
        The pipeline as a job: `pipelineSpec` and `runtimeConfig`, whichever of the two documents
        that the KFP compiler writes is there.

    Raises:
        PlatformError: it cannot be read, or is no compiled pipeline.
    """
    document = _read(connection, address)
    if isinstance(document, dict) and "pipelineSpec" not in document and "root" in document:
        document = {"pipelineSpec": document, "runtimeConfig": {}}
    spec = document.get("pipelineSpec") if isinstance(document, dict) else None
    if not isinstance(spec, dict) or "root" not in spec or "schemaVersion" not in spec:
        raise PlatformError(
            f"vertex.pipeline_template = {address!r} is no compiled pipeline: it has no root and "
            "schemaVersion; compile it with kfp.compiler (here: `transak-drift compile-pipelines`)"
        )
    document.setdefault("runtimeConfig", {})
    return document


def declared_parameters(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the parameters that a pipeline takes, each with its definition."""
    return dict(template["pipelineSpec"]["root"].get("inputDefinitions", {}).get("parameters", {}))


def pipeline_job(
    template: Mapping[str, Any],
    *,
    display_name: str,
    pipeline_root: str | None,
    parameters: Mapping[str, Any],
    labels: Mapping[str, str],
    service_account: str | None,
    network: str | None,
) -> PipelineJob:
    """Build the PipelineJob, without caching; without a root it takes the template's own.

    Raises:
        PlatformError: a parameter is missing or unknown, or there is no pipeline root.
    """
    from google.cloud.aiplatform.utils import pipeline_utils
    from google.cloud.aiplatform_v1 import types
    from google.protobuf import json_format

    _check_parameters(template, parameters)
    spec = template["pipelineSpec"]
    root = (
        pipeline_root
        or spec.get("defaultPipelineRoot")
        or template["runtimeConfig"].get("gcsOutputDirectory")
    )
    if not root:
        raise PlatformError(
            "vertex.pipeline_root is not set, and the template has no default: name a directory "
            "gs://bucket/path that the pipeline writes to"
        )
    builder = pipeline_utils.PipelineRuntimeConfigBuilder.from_job_spec_json(dict(template))
    builder.update_pipeline_root(root)
    builder.update_runtime_parameters(parameters)
    job = types.PipelineJob(
        display_name=display_name,
        pipeline_spec=_without_caching(spec),
        labels=dict(labels),
        service_account=service_account or "",
        network=network or "",
    )
    json_format.ParseDict(builder.build(), types.PipelineJob.pb(job).runtime_config)
    return job


def _check_parameters(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    declared = declared_parameters(template)
    unknown = sorted(set(parameters) - set(declared))
    if unknown:
        raise PlatformError(
            f"vertex.pipeline_parameters.{unknown[0]} is no parameter of the pipeline; it takes "
            f"{', '.join(sorted(declared)) or 'none'}"
        )
    given = {**_values_in(template["runtimeConfig"]), **parameters}
    missing = sorted(
        name
        for name, definition in declared.items()
        if name not in given
        and "defaultValue" not in definition
        and not definition.get("isOptional")
    )
    if missing:
        raise PlatformError(
            f"the pipeline needs the parameter {missing[0]}"
            + (f" (and {', '.join(missing[1:])})" if missing[1:] else "")
            + f": add vertex.pipeline_parameters.{missing[0]} to the configuration"
        )


def _values_in(runtime_config: Mapping[str, Any]) -> Mapping[str, Any]:
    return runtime_config.get("parameterValues") or runtime_config.get("parameters") or {}


def _without_caching(spec: Mapping[str, Any]) -> dict[str, Any]:
    # Cached steps would hand out the model of an earlier training in place of a new one.
    def dag(component: Mapping[str, Any]) -> dict[str, Any]:
        if "dag" not in component:
            return dict(component)
        tasks = {
            name: {**task, "cachingOptions": {"enableCache": False}}
            for name, task in component["dag"]["tasks"].items()
        }
        return {**component, "dag": {**component["dag"], "tasks": tasks}}

    components = {name: dag(item) for name, item in spec.get("components", {}).items()}
    return {**spec, "root": dag(spec["root"]), "components": components}


def _read(connection: VertexConnection, address: str) -> Any:
    try:
        if address.startswith(_HTTPS):
            return yaml.safe_load(_read_artifact_registry(connection, address))
        from google.cloud.aiplatform.utils import yaml_utils

        resource = address if address.startswith(CLOUD_STORAGE) else "the local file"
        with connection.explained("storage.objects.get", resource):
            return yaml_utils.load_yaml(
                address, connection.endpoint.project_id, connection.credentials
            )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PlatformError(
            f"vertex.pipeline_template = {address!r} cannot be read: {error}; compile the pipeline "
            "there, or name another place"
        ) from error


def _read_artifact_registry(connection: VertexConnection, address: str) -> str:
    from google.auth.transport.requests import AuthorizedSession

    with connection.explained("artifactregistry.files.download", address):
        session = AuthorizedSession(connection.credentials)
        response = session.get(address, timeout=connection.limits.attempt_seconds)
    if response.status_code != 200:
        raise PlatformError(
            f"vertex.pipeline_template = {address!r} answers {response.status_code} "
            f"{response.reason}: grant roles/artifactregistry.reader on the repository, or correct "
            "the address"
        )
    return response.text
