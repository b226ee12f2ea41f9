"""Pipeline: a window's predictions, and as its last step the start of their monitoring."""

# KFP reads the annotations as objects and copies a component's source into it: no
# `from __future__ import annotations` here, and every import that a component needs within it.
from typing import NamedTuple

from kfp import dsl

from transak_drift.pipelines.embedded_component import component_with_source
from transak_drift.pipelines.google_launchers import batch_predict_op


def run_monitoring(
    monitoring_config: str,
    day: str,
    batch_prediction_job: dsl.Input[dsl.Artifact],
) -> NamedTuple("StartedMonitoring", [("state", str), ("monitoring_job", str), ("message", str)]):  # ty: ignore[invalid-type-form]
    """Start the monitoring run of a window's predictions, and wait for nothing.

    Whatever goes wrong in it, it succeeds: predictions that are there never count as failed because
    their monitoring could not be started. It says so in its outputs and, as a warning, in its log.

    Args:
        monitoring_config: text of the monitoring configuration.
        day: the window whose transactions were predicted: its key, or one of its days.
        batch_prediction_job: the prediction step's BatchPredictionJob.

    Returns:
        state: `started`, or `failed` where it could not be started.
        monitoring_job: resource name of the ModelMonitoringJob; empty where it failed.
        message: a sentence for people.
    """
    import logging

    try:
        from transak_drift.pipelines.monitoring_step import start_monitoring

        job = start_monitoring(monitoring_config, day, batch_prediction_job.metadata)
    except Exception as error:
        message = (
            f"the predictions are there, but their monitoring was not started: {error}; "
            f"materialize monitoring_run of {day} in Dagster to start it"
        )
        logging.warning(message, exc_info=True)
        return ("failed", "", message)
    message = f"{job} runs; a feature above its threshold writes an anomaly log entry"
    return ("started", job, message)


run_monitoring_op = component_with_source(
    run_monitoring,
    "transak_drift.pipelines.monitoring_step",
    ["google-cloud-aiplatform", "pydantic"],
)


@dsl.pipeline(
    name="pipeline-predict",
    description="Predicts a window's transactions, then starts the monitoring of their drift.",
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
        day: the window's key, YYYY-MM-DD, or YYYY-MM of a month; the job's name has it.
        source_table: the window's transactions, bq://project.dataset.table, with the columns that
            the model takes, in its order: of the reference training description and type, and
            optionally amount and date.
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
