"""Components: a Vertex AI BatchPredictionJob, and a new version of a Vertex AI Model.

Each runs Google's own launcher from the image of Google Cloud Pipeline Components
(`ModelBatchPredictOp` and `ModelUploadOp` there). That package cannot be installed beside this
project's google-cloud-aiplatform, so its artifact types are here ("Google Cloud Pipeline
Components: artifact types").
"""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from typing import Any

from kfp import dsl

# Google Cloud Pipeline Components, whose releases are the image's tags.
GOOGLE_CLOUD_IMAGE = "gcr.io/ml-pipeline/google-cloud-pipeline-components:2.22.0"


class VertexModel(dsl.Artifact):
    schema_title = "google.VertexModel"
    schema_version = "0.0.1"


class VertexBatchPredictionJob(dsl.Artifact):
    schema_title = "google.VertexBatchPredictionJob"
    schema_version = "0.0.1"


class BigQueryTable(dsl.Artifact):
    schema_title = "google.BQTable"
    schema_version = "0.0.1"


class UnmanagedContainerModel(dsl.Artifact):
    schema_title = "google.UnmanagedContainerModel"
    schema_version = "0.0.1"


def _launch(
    launcher: str,
    job_type: str,
    project: str,
    location: str,
    gcp_resources: Any,
    payload: list[Any],
    arguments: list[Any] | None = None,
) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(
        image=GOOGLE_CLOUD_IMAGE,
        command=[
            *("python3", "-u", "-m"),
            f"google_cloud_pipeline_components.container.v1.{launcher}",
        ],
        args=[
            *("--type", job_type),
            *("--project", project),
            *("--location", location),
            *("--gcp_resources", gcp_resources),
            *("--executor_input", "{{$}}"),
            *(arguments or []),
            *("--payload", dsl.ConcatPlaceholder(payload)),
        ],
    )


@dsl.container_component
def batch_predict_op(
    project: str,
    location: str,
    job_display_name: str,
    model: str,
    source_table: str,
    destination: str,
    machine_type: str,
    replicas: int,
    gcp_resources: dsl.OutputPath(str),  # ty: ignore[invalid-type-form]
    batchpredictionjob: dsl.Output[VertexBatchPredictionJob],
    bigquery_output_table: dsl.Output[BigQueryTable],
):
    """Predict each row of a `bq://project.dataset.table` into a new table of `bq://project.dataset`.

    The launcher follows the job to its end; `batchpredictionjob` has its name in the metadata.
    """
    payload = [
        '{"display_name": "',
        job_display_name,
        '", "model": "',
        model,
        '", "input_config": {"instances_format": "bigquery", "bigquery_source": {"input_uri": "',
        source_table,
        '"}}, "output_config": {"predictions_format": "bigquery", '
        '"bigquery_destination": {"output_uri": "',
        destination,
        '"}}, "dedicated_resources": {"machine_spec": {"machine_type": "',
        machine_type,
        '"}, "starting_replica_count": ',
        replicas,
        ', "max_replica_count": ',
        replicas,
        "}}",
    ]
    launcher = "batch_prediction_job.launcher"
    return _launch(launcher, "BatchPredictionJob", project, location, gcp_resources, payload)


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
    """Upload a version of `parent_model`; `description` must have no quotes.

    The metadata of `unmanaged_container_model` tell the image that serves the files.
    """
    payload = [
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
    parent = ["--parent_model_name", parent_model]
    launcher = "model.upload_model.launcher"
    return _launch(launcher, "UploadModel", project, location, gcp_resources, payload, parent)
