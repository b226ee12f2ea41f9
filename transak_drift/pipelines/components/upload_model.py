"""Component: a new version of a Vertex AI Model.

Runs Google's own launcher from the image of Google Cloud Pipeline Components (`ModelUploadOp`
there).
"""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from typing import Any

from kfp import dsl

from transak_drift.pipelines.google_artifacts import UnmanagedContainerModel, VertexModel
from transak_drift.pipelines.pins import GOOGLE_CLOUD_IMAGE


@dsl.container_component
def upload_model_op(
    project: str,
    location: str,
    display_name: str,
    description: str,
    version_aliases: list,
    parent_model: str,
    unmanaged_container_model: dsl.Input[UnmanagedContainerModel],
    gcp_resources: dsl.OutputPath(str),  # ty: ignore[invalid-type-form]
    model: dsl.Output[VertexModel],
):
    """Upload a version.

    Args:
        project: Google Cloud project id.
        location: region, e.g. europe-west6.
        display_name: display name of the model.
        description: what the version is and why it got its aliases; without quotes.
        version_aliases: e.g. ["default"]: the version that predicts from now on.
        parent_model: resource name of the model that gets the version.
        unmanaged_container_model: the files, and in the metadata the image that serves them.

    Returns:
        gcp_resources: the upload, as JSON of the proto GcpResources.
        model: the version; its metadata has the resource name with @version.
    """
    payload: list[Any] = [
        '{"display_name": "',
        display_name,
        '", "version_description": "',
        description,
        '", "version_aliases": ',
        version_aliases,
        ', "pipeline_job": "',
        dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
        '"}',
    ]
    return dsl.ContainerSpec(
        image=GOOGLE_CLOUD_IMAGE,
        command=[
            *("python3", "-u", "-m"),
            "google_cloud_pipeline_components.container.v1.model.upload_model.launcher",
        ],
        args=[
            *("--type", "UploadModel"),
            *("--project", project),
            *("--location", location),
            *("--gcp_resources", gcp_resources),
            *("--executor_input", "{{$}}"),
            *("--parent_model_name", parent_model),
            "--payload",
            dsl.ConcatPlaceholder(payload),
        ],
    )
