"""Pipeline: a day's predictions, and as its last step the start of their monitoring."""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from kfp import dsl

from transak_drift.pipelines.components.google_launchers import batch_predict_op
from transak_drift.pipelines.components.run_monitoring import run_monitoring_op


@dsl.pipeline(
    name="pipeline-predict",
    description="Predicts a day's transactions, then starts the monitoring of their drift.",
)
def pipeline_predict(
    monitoring_config: str,
    project: str,
    location: str,
    model: str,
    day: str,
    source_table: str,
    destination: str,
    machine_type: str = "n1-standard-4",
    replicas: int = 1,
):
    """Predict, then start the monitoring.

    Args:
        monitoring_config: text of the monitoring configuration.
        project: Google Cloud project id.
        location: region, e.g. europe-west6.
        model: resource name of the model, projects/*/locations/*/models/*.
        day: the day, YYYY-MM-DD.
        source_table: the day's transactions, bq://project.dataset.table.
        destination: where the predictions go, bq://project.dataset.
        machine_type: Compute Engine machine type.
        replicas: machines.
    """
    prediction = batch_predict_op(
        project=project,
        location=location,
        job_display_name=f"predictions-{day}",
        model=model,
        source_table=source_table,
        destination=destination,
        machine_type=machine_type,
        replicas=replicas,
    )
    # The same rows predicted again are wanted predictions: nothing is taken from a former run.
    prediction.set_display_name("batch-predict").set_caching_options(False)
    monitoring = run_monitoring_op(
        monitoring_config=monitoring_config,
        day=day,
        batch_prediction_job=prediction.outputs["batchpredictionjob"],
    )
    # The step itself never fails; repeated is the start of a container that never came up.
    monitoring.set_display_name("run-monitoring").set_caching_options(False).set_retry(
        num_retries=2, backoff_duration="30s", backoff_factor=2.0
    )
