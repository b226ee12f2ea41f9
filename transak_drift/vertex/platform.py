"""The gcp platform: monitoring and training on Vertex AI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import (
    AppliedModelMonitor,
    Dataset,
    Overview,
    PredictedDataset,
    RegisteredModel,
    StartedMonitoringRun,
    TrainingRequest,
    TrainingResult,
)
from transak_drift.vertex.dataset_input import (
    BATCH_PREDICTION,
    find_batch_prediction_job,
    prediction_address,
)
from transak_drift.vertex.model_lookup import find_model, list_versions, read_metrics
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift.vertex.monitoring_run import start_monitoring_run
from transak_drift.vertex.monitors import (
    apply_model_monitor,
    id_of,
    monitor_in_use,
    monitors_of,
    name_of,
    own_monitors,
)
from transak_drift.vertex.training_launch import launch_training
from transak_drift.vertex.training_outcome import (
    cancel_pipeline_job,
    console_url,
    follow_pipeline_job,
    training_result,
)

_MAX_RESULTS = 14


class StoredData(Protocol):
    """Looks at data in BigQuery and Cloud Storage."""

    def describe(self, address: str, day: date, date_column: str | None) -> Dataset:
        """Find a day's data, with the rows where counting them needs no scan of files.

        The address is `bq://project.dataset.table` or `gs://bucket/path`, of that day alone where
        `date_column`, which has the day of a row, is None.

        Raises:
            PlatformError: there is no data of that day, or it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class VertexPlatform(VertexMonitoringJobs):
    """Implements `DriftPlatform`.

    Args:
        connection: the location's clients.
        data: looks at data in BigQuery and Cloud Storage.
        is_cancelled: tells whether a Dagster run is being cancelled, given its id; the training's
            PipelineJob is then cancelled as well. None leaves it running.
    """

    data: StoredData
    is_cancelled: Callable[[str], bool] | None = None

    def land_transactions(self, config: MonitoringConfig, day: date) -> Dataset:
        """See `DriftPlatform`; the transactions arrive by other means, here they are found."""
        address, date_column = prediction_address(config, day)
        if address.startswith(BATCH_PREDICTION):
            return Dataset(find_batch_prediction_job(self.connection, address), rows=None)
        return self.data.describe(address, day, date_column)

    def ensure_registered_model(self, config: MonitoringConfig) -> RegisteredModel:
        """See `DriftPlatform`; a missing model is an error, since nothing here could train it."""
        model = find_model(self.connection, config)
        return RegisteredModel(
            version=model.version,
            created=False,
            trained_until=None,
            detail=f"{model.name}, uploaded {model.create_time:%Y-%m-%d %H:%M} UTC",
            metrics=read_metrics(self.connection, model),
        )

    def apply_model_monitor(self, config: MonitoringConfig) -> AppliedModelMonitor:
        return apply_model_monitor(self.connection, config)

    def predict(self, config: MonitoringConfig, day: date) -> PredictedDataset:
        """See `DriftPlatform`; `pipeline-predict` predicts, here its predictions are found."""
        model = find_model(self.connection, config)
        return PredictedDataset(self.land_transactions(config, day), model_version=model.version)

    def start_monitoring_run(self, config: MonitoringConfig, day: date) -> StartedMonitoringRun:
        """See `DriftPlatform`; returns within seconds, while the job runs."""
        return start_monitoring_run(self.connection, config, day)

    def train(
        self,
        config: MonitoringConfig,
        request: TrainingRequest,
        progress: Callable[[str], None],
    ) -> TrainingResult:
        """See `DriftPlatform`; a promoted version's training data become the baseline."""
        launched = launch_training(self.connection, config, request)
        verb = "adopted" if launched.adopted else "started"
        progress(f"{verb} {launched.job_name}: {console_url(self.connection, launched.job_name)}")
        try:
            job = follow_pipeline_job(self.connection, launched.job_name, progress)
        except Exception:
            raise
        except BaseException:
            # An interrupt: of a cancelled run the job ends too, of a restarted one it goes on.
            if self.is_cancelled is not None and self.is_cancelled(request.run_id):
                cancel_pipeline_job(self.connection, launched.job_name)
                progress(f"cancelled {launched.job_name}")
            raise
        result = training_result(self.connection, config, job, request, adopted=launched.adopted)
        if not result.promoted:
            return result
        return replace(result, warnings=self._follow_model(config, result.version, progress))

    def _follow_model(
        self, config: MonitoringConfig, version: str, progress: Callable[[str], None]
    ) -> tuple[str, ...]:
        # Whatever is wrong with a monitor, the training has finished.
        try:
            if not own_monitors(self.connection, config).monitor_ids:
                return ()
            applied = apply_model_monitor(self.connection, config)
        except Exception as error:
            warning = (
                f"version {version} predicts, but its data are not monitored yet: {error}; "
                "materialize model_monitor (job prepare_monitoring)"
            )
            progress(warning)
            return (warning,)
        for change in applied.changes:
            progress(f"model monitor: {change.path} {change.before} -> {change.after}")
        return ()

    def overview(self, config: MonitoringConfig) -> Overview:
        model = find_model(self.connection, config)
        monitor = monitor_in_use(monitors_of(self.connection, model), config, model)
        return Overview(
            model_monitor=None if monitor is None else name_of(self.connection, id_of(monitor)),
            model_versions=[
                {
                    "version": version.version,
                    "champion": "yes" if config.model_alias in version.aliases else "",
                    "uploaded": f"{version.create_time:%Y-%m-%d %H:%M}",
                    "pipeline job": version.pipeline_job.rpartition("/")[2],
                    "description": version.description,
                }
                for version in list_versions(self.connection, model.model)
            ],
            monitoring_results=self.recent_results(config, _MAX_RESULTS),
        )
