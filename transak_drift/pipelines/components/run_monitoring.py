"""Component: starts the monitoring of the predictions that were just made, and waits for nothing.

Whatever goes wrong in it, it succeeds: predictions that are there never count as failed because
their monitoring could not be started. It says so in its outputs and, as a warning, in its log.
"""

# KFP reads the annotations as objects and copies the function's source into the component: no
# `from __future__ import annotations` here, and every import that the function needs within it.
from typing import NamedTuple

from kfp import dsl

from transak_drift.pipelines.embedded_component import component_with_source


def run_monitoring(
    monitoring_config: str,
    day: str,
    batch_prediction_job: dsl.Input[dsl.Artifact],
) -> NamedTuple("StartedMonitoring", [("state", str), ("monitoring_job", str), ("message", str)]):  # ty: ignore[invalid-type-form]
    """Start the monitoring run of a day's predictions; fire and forget.

    Args:
        monitoring_config: text of the monitoring configuration.
        day: the day whose transactions were predicted, YYYY-MM-DD.
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
    return (
        "started",
        job,
        f"{job} runs; a feature above its threshold writes an anomaly log entry",
    )


run_monitoring_op = component_with_source(
    run_monitoring,
    "transak_drift.pipelines.monitoring_step",
    ["google-cloud-aiplatform", "pydantic"],
)
