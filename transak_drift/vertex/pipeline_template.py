"""The compiled training pipeline, and the PipelineJob that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from google.auth.transport.requests import AuthorizedSession
from google.cloud.aiplatform.utils import yaml_utils
from google.cloud.aiplatform.utils.pipeline_utils import PipelineRuntimeConfigBuilder
from google.cloud.aiplatform_v1.types import PipelineJob
from google.protobuf import json_format

from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection


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
        document = {"pipelineSpec": document}
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
    return template["pipelineSpec"]["root"].get("inputDefinitions", {}).get("parameters", {})


def pipeline_job(
    template: dict[str, Any],
    parameters: Mapping[str, Any],
    pipeline_root: str | None,
    **fields: Any,
) -> PipelineJob:
    """Build the PipelineJob, without caching; without a root it takes the template's own.

    Raises:
        PlatformError: a parameter is missing or unknown, or there is no pipeline root.
    """
    _check_parameters(template, parameters)
    spec, runtime = template["pipelineSpec"], template["runtimeConfig"]
    root = pipeline_root or spec.get("defaultPipelineRoot") or runtime.get("gcsOutputDirectory")
    if not root:
        raise PlatformError(
            "vertex.pipeline_root is not set, and the template has no default: name a directory "
            "gs://bucket/path that the pipeline writes to"
        )
    builder = PipelineRuntimeConfigBuilder.from_job_spec_json(template)
    builder.update_pipeline_root(root)
    builder.update_runtime_parameters(parameters)
    # Cached steps would hand out the model of an earlier training in place of a new one.
    for component in (spec["root"], *spec.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {"enableCache": False}
    job = PipelineJob(pipeline_spec=spec, **fields)
    json_format.ParseDict(builder.build(), PipelineJob.pb(job).runtime_config)
    return job


def _check_parameters(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    declared = declared_parameters(template)
    unknown = sorted(set(parameters) - set(declared))
    if unknown:
        raise PlatformError(
            f"vertex.pipeline_parameters.{unknown[0]} is no parameter of the pipeline; it takes "
            f"{', '.join(sorted(declared)) or 'none'}"
        )
    runtime = template["runtimeConfig"]
    given = {*parameters, *(runtime.get("parameterValues") or runtime.get("parameters") or ())}
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


def _read(connection: VertexConnection, address: str) -> Any:
    try:
        if address.startswith("https://"):
            with connection.explained("artifactregistry.files.download", address):
                session = AuthorizedSession(connection.credentials)
                response = session.get(address, timeout=connection.limits.attempt_seconds)
            response.raise_for_status()
            return yaml.safe_load(response.text)
        resource = address if address.startswith("gs://") else "the local file"
        with connection.explained("storage.objects.get", resource):
            return yaml_utils.load_yaml(
                address, connection.endpoint.project_id, connection.credentials
            )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PlatformError(
            f"vertex.pipeline_template = {address!r} cannot be read: {error}; compile the pipeline "
            "there, name another place, or, if it is forbidden in Artifact Registry, grant "
            "roles/artifactregistry.reader on the repository"
        ) from error
