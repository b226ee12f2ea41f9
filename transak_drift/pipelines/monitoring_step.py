"""What the prediction pipeline's last step does: it starts the window's monitoring run.

The run has the id that Dagster's `monitoring_run` derives for the same window and predictions, so
that whoever comes second finds the run of the first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from transak_drift.config.monitoring_config import parse_config
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitors import start_monitoring_run

ENDPOINT_VARIABLE = "TRANSAK_DRIFT_VERTEX_ENDPOINT"
_BATCH_PREDICTION_JOB = re.compile(r"projects/[^/]+/locations/[^/]+/batchPredictionJobs/[^/]+")


def start_monitoring(config_text: str, day_text: str, prediction: Mapping[str, Any]) -> str:
    """Start the monitoring run of a window's predictions, as the pipeline's service account.

    `prediction` is the metadata of the prediction step's BatchPredictionJob. Returned is the name
    of the ModelMonitoringJob; nothing waits for its end.
    """
    config = parse_config(config_text, "monitoring_config")
    try:
        window = config.windows.parse_key_or_day(day_text)
    except ValueError as error:
        raise ValueError(f"day = {error}") from None
    job = str(prediction.get("resourceName"))
    if _BATCH_PREDICTION_JOB.fullmatch(job) is None:
        raise ValueError(
            f"batch_prediction_job.resourceName = {job!r}: is not "
            "projects/*/locations/*/batchPredictionJobs/*; fix: pass on the prediction step's "
            "output batchpredictionjob"
        )
    address = os.environ.get(ENDPOINT_VARIABLE) or None
    connection = VertexConnection(config.project_id, config.location, address)
    try:
        return start_monitoring_run(connection, config, window, batch_prediction_job=job).job_name
    finally:
        connection.close()
