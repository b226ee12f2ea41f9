"""A pipeline that KFP's local runner can run, which runs no container as the prediction's."""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from kfp import dsl

from transak_drift.pipelines.pipeline_predict import run_monitoring_op

PREDICTION_JOB = "projects/123456789012/locations/europe-west6/batchPredictionJobs/7001"


@dsl.pipeline(name="monitor-predictions")
def monitor_predictions(monitoring_config: str, day: str):
    """Start the monitoring of a BatchPredictionJob that has ended."""
    prediction = dsl.importer(
        artifact_uri="predictions",
        artifact_class=dsl.Artifact,
        metadata={"resourceName": PREDICTION_JOB},
    )
    run_monitoring_op(
        monitoring_config=monitoring_config, day=day, batch_prediction_job=prediction.output
    )
