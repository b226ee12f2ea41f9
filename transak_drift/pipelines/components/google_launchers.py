"""Components: a Vertex AI BatchPredictionJob, and a new version of a Vertex AI Model.

Each runs Google's own launcher from the image of Google Cloud Pipeline Components
(`ModelBatchPredictOp` and `ModelUploadOp` there) with the settings that this model needs. That
package cannot be installed beside the google-cloud-aiplatform of this project, so the artifact
types that Vertex AI Pipelines knows are here. Source: "Google Cloud Pipeline Components: artifact
types".
"""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from typing import Any

from kfp import dsl

# Google Cloud Pipeline Components, whose releases are the image's tags.
GOOGLE_CLOUD_IMAGE = "gcr.io/ml-pipeline/google-cloud-pipeline-components:2.22.0"


class VertexModel(dsl.Artifact):
    """A Vertex AI Model; `resourceName` in its metadata names it."""

    schema_title = "google.VertexModel"
    schema_version = "0.0.1"


class VertexBatchPredictionJob(dsl.Artifact):
    """A Vertex AI BatchPredictionJob; `resourceName` in its metadata names it."""

    schema_title = "google.VertexBatchPredictionJob"
    schema_version = "0.0.1"


class BigQueryTable(dsl.Artifact):
    """A BigQuery table; `projectId`, `datasetId` and `tableId` in its metadata name it."""

    schema_title = "google.BQTable"
    schema_version = "0.0.1"


class UnmanagedContainerModel(dsl.Artifact):
    """Files of a model; `containerSpec` in its metadata tells the image that serves them."""

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
    """Predict each row of a table, and follow the job to its end.

    Args:
        project: Google Cloud project id.
        location: region, e.g. europe-west6.
        job_display_name: name of the job, for people.
        model: resource name of the model, projects/*/locations/*/models/*.
        source_table: `bq://project.dataset.table`.
        destination: `bq://project.dataset`; the predictions become a new table in it.
        machine_type: Compute Engine machine type, e.g. n1-standard-4.
        replicas: machines at least and at most.

    Returns:
        gcp_resources: the job, as JSON of the proto GcpResources.
        batchpredictionjob: the job; its metadata has the resource name.
        bigquery_output_table: the table of predictions.
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
