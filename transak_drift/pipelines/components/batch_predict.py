"""Component: a Vertex AI BatchPredictionJob from BigQuery to BigQuery, followed to its end.

Runs Google's own launcher from the image of Google Cloud Pipeline Components (`ModelBatchPredictOp`
there), with the settings that this model needs.
"""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from typing import Any

from kfp import dsl

from transak_drift.pipelines.google_artifacts import (
    BigQueryTable,
    VertexBatchPredictionJob,
)
from transak_drift.pipelines.pins import GOOGLE_CLOUD_IMAGE


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
    """Predict each row of a table.

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
    payload: list[Any] = [
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
    return dsl.ContainerSpec(
        image=GOOGLE_CLOUD_IMAGE,
        command=[
            *("python3", "-u", "-m"),
            "google_cloud_pipeline_components.container.v1.batch_prediction_job.launcher",
        ],
        args=[
            *("--type", "BatchPredictionJob"),
            *("--project", project),
            *("--location", location),
            *("--gcp_resources", gcp_resources),
            *("--executor_input", "{{$}}"),
            "--payload",
            dsl.ConcatPlaceholder(payload),
        ],
    )
