"""A pipeline that the local runner can run: KFP's runs no container, as the real prediction is."""

# KFP reads the annotations as objects: no `from __future__ import annotations` here.
from kfp import dsl

from transak_drift.pipelines.components.run_monitoring import run_monitoring_op


@dsl.component(base_image="python:3.12", install_kfp_package=False)
def name_finished_job(job: str, batchpredictionjob: dsl.Output[dsl.Artifact]) -> str:
    """Pass on a BatchPredictionJob that has ended, in the form of Google's prediction step."""
    batchpredictionjob.metadata["resourceName"] = job
    return "predicted"


@dsl.pipeline(name="predict-and-monitor")
def predict_and_monitor(monitoring_config: str, day: str, job: str) -> str:
    """Predict, then start the monitoring; the predictions are the pipeline's result."""
    prediction = name_finished_job(job=job)
    run_monitoring_op(
        monitoring_config=monitoring_config,
        day=day,
        batch_prediction_job=prediction.outputs["batchpredictionjob"],
    )
    return prediction.outputs["Output"]
