"""The gcp platform: monitoring and training on Vertex AI."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from google.api_core import exceptions
from google.cloud.aiplatform_v1.types import PipelineJob, PipelineState, PipelineTaskDetail

from transak_drift.config.data_source import BATCH_PREDICTION, DataSource
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.platform import (
    AppliedModelMonitor,
    Dataset,
    NoDataError,
    Overview,
    PlatformError,
    PredictedDataset,
    RegisteredModel,
    RestorableVersion,
    StartedMonitoringRun,
    TemporaryPlatformError,
    TrainingRequest,
    TrainingResult,
)
from transak_drift.training.labels import LabelCounts
from transak_drift.vertex import monitors
from transak_drift.vertex.model_lookup import (
    DAYS_METRIC,
    find_model,
    list_versions,
    name_of_version,
    pipeline_comparison,
    pipeline_metrics,
    read_metrics,
    trained_days,
)
from transak_drift.vertex.monitor_spec import (
    find_batch_prediction_job,
    prediction_source,
    training_source,
)
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift.vertex.training_launch import (
    CHAMPION_LABEL,
    FAILED,
    launch_training,
    training_days,
)

_MAX_RESULTS = 14
# A training takes hours: Vertex AI may be away for a while and the training goes on.
_MAX_OUTAGE_SECONDS = 1_800.0
_OF_CHAMPION = " of the champion"
_LABEL_INTERVAL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class VertexPlatform(VertexMonitoringJobs):
    """Implements `DriftPlatform`.

    `find_data` looks for a window's data in BigQuery and Cloud Storage, see `GcpData.describe`, and
    `count_labelled` counts the labels of rows in BigQuery, see `GcpData.count_labels`.
    `is_cancelled` tells whether a Dagster run is being cancelled, given its id; the training's
    PipelineJob is then cancelled as well.
    """

    find_data: Callable[[DataSource, Window], Dataset]
    count_labelled: Callable[[DataSource, str, str], LabelCounts]
    is_cancelled: Callable[[str], bool] = lambda _: False

    def land_transactions(self, config: MonitoringConfig, window: Window) -> Dataset:
        """See `DriftPlatform`; the transactions arrive by other means, here they are found."""
        source = prediction_source(config, window)
        if source.address.startswith(BATCH_PREDICTION):
            job = find_batch_prediction_job(self.connection, config, source.address, window)
            return Dataset(job, rows=None)
        try:
            return self.find_data(source, window)
        except NoDataError:
            if config.empty_windows != "allowed":
                raise
            return Dataset(str(source), rows=0)

    def ensure_registered_model(self, config: MonitoringConfig) -> RegisteredModel:
        """See `DriftPlatform`; a missing model is an error, since nothing here could train it."""
        model = find_model(self.connection, config)
        uploaded = f"{model.version_create_time:%Y-%m-%d %H:%M} UTC"
        return RegisteredModel(
            version=model.version_id,
            created=False,
            trained_until=None,
            detail=f"{name_of_version(model)}, uploaded {uploaded}",
            metrics=read_metrics(self.connection, model),
        )

    def apply_model_monitor(self, config: MonitoringConfig) -> AppliedModelMonitor:
        return monitors.apply_model_monitor(self.connection, config)

    def predict(self, config: MonitoringConfig, window: Window) -> PredictedDataset:
        """See `DriftPlatform`; `pipeline-predict` predicts, here its predictions are found."""
        model = find_model(self.connection, config)
        return PredictedDataset(self.land_transactions(config, window), model.version_id)

    def start_monitoring_run(
        self, config: MonitoringConfig, window: Window
    ) -> StartedMonitoringRun:
        """See `DriftPlatform`; returns within seconds, while the job runs.

        Vertex AI has no job for a window without rows, where such are allowed.
        """
        is_allowed = config.empty_windows == "allowed"
        if is_allowed and self.land_transactions(config, window).rows == 0:
            return StartedMonitoringRun("")
        return monitors.start_monitoring_run(self.connection, config, window)

    def label_state(self, config: MonitoringConfig, window: Window) -> str:
        """See `DriftPlatform`; a query tells no change, so that it is made every ten minutes."""
        return str(int(time.time() // _LABEL_INTERVAL_SECONDS))

    def count_labels(self, config: MonitoringConfig, window: Window) -> LabelCounts:
        """See `DriftPlatform`; the champion's classes are those in its training data."""
        column, named_by = config.label_column, _naming_column(config)
        found = self.count_labelled(prediction_source(config, window), column, named_by)
        if config.labels is None or config.labels.expected is not None:
            return found
        champion = find_model(self.connection, config)
        source = training_source(self.connection, config, champion)
        learned = self.count_labelled(source, column, column)
        return found.model_copy(update={"champion_classes": tuple(learned.by_label)})

    def train(
        self,
        config: MonitoringConfig,
        request: TrainingRequest,
        progress: Callable[[str], None],
    ) -> TrainingResult:
        """See `DriftPlatform`; a promoted version's training data become the baseline."""
        launched = launch_training(self.connection, config, request)
        verb = "adopted" if launched.adopted else "started"
        progress(f"{verb} {launched.job_name}: {self._page(launched.job_name)}")
        try:
            job = self._follow_job(launched.job_name, progress)
        except Exception:
            raise
        except BaseException:
            # An interrupt: of a cancelled run the job ends too, of a restarted one it goes on.
            if self.is_cancelled(request.run_id):
                self._cancel_job(launched.job_name)
                progress(f"cancelled {launched.job_name}")
            raise
        result = self._training_result(config, job, request, adopted=launched.adopted)
        if not result.promoted:
            return result
        return replace(result, warnings=self._follow_model(config, result.version, progress))

    def _follow_job(self, job_name: str, progress: Callable[[str], None]) -> PipelineJob:
        """Wait for the success of a PipelineJob, with a sentence at each change of a state."""
        reported: dict[str, str] = {}
        reached = time.monotonic()
        for _ in self.connection.limits.polls(math.inf):
            try:
                job = self.connection.find(self.connection.pipelines.get_pipeline_job, job_name)
            except TemporaryPlatformError as error:
                if time.monotonic() - reached > _MAX_OUTAGE_SECONDS:
                    raise
                progress(f"{error}; still following {job_name}")
                continue
            reached = time.monotonic()
            if job is None:
                raise PlatformError(f"{job_name} was deleted while it was followed; start it again")
            for name, state in _states_of(job).items():
                if reported.get(name) != state:
                    reported[name] = state
                    progress(f"{name}: {state}")
            if job.state == PipelineState.PIPELINE_STATE_SUCCEEDED:
                return job
            if job.state in FAILED:
                reason = job.error.message or "Vertex AI gives no reason"
                raise PlatformError(
                    f"{job_name} ended as {PipelineState(job.state).name}: {reason}; look at it "
                    f"in {self._page(job_name)}, and re-execute this run to train again"
                )
        raise AssertionError("the polls never end")

    def _cancel_job(self, job_name: str) -> None:
        try:
            self.connection.call(self.connection.pipelines.cancel_pipeline_job, name=job_name)
        except PlatformError as error:
            # It has ended meanwhile.
            if not isinstance(error.__cause__, exceptions.FailedPrecondition):
                raise

    def _page(self, job_name: str) -> str:
        place, run = self.connection.location, job_name.rpartition("/")[2]
        return (
            f"https://console.cloud.google.com/vertex-ai/locations/{place}/pipelines/runs/{run}"
            f"?project={self.connection.project_id}"
        )

    def _training_result(
        self, config: MonitoringConfig, job: PipelineJob, request: TrainingRequest, *, adopted: bool
    ) -> TrainingResult:
        """Read the outcome of a PipelineJob that has succeeded."""
        champion = find_model(self.connection, config)
        job_id = job.name.rpartition("/")[2]
        for trained in list_versions(self.connection, champion):
            if trained.pipeline_job.rpartition("/")[2] == job_id:
                break
        else:
            raise PlatformError(
                f"{job.name} has succeeded, but no version of {champion.name} names it as its "
                "pipeline job; the pipeline's last step must upload the model as a version of it "
                "(ModelUploadOp with parent_model)"
            )
        metrics = {**read_metrics(self.connection, trained), **pipeline_metrics(job)}
        # The names under which pipelines/ writes what the model learned from.
        rows = metrics.pop("training rows", None)
        days = metrics.pop(DAYS_METRIC, None)
        first_day, last_day = training_days(config, request)
        if days is not None and days >= 1:
            first_day = last_day - timedelta(days=int(days) - 1)
        promoted = trained.version_id == champion.version_id
        verdict = "predicts from now on" if promoted else "does not predict"
        of_champion = {name for name in metrics if name.endswith(_OF_CHAMPION)}
        return TrainingResult(
            version=trained.version_id,
            champion_before=dict(job.labels).get(CHAMPION_LABEL) or None,
            champion_after=champion.version_id,
            promoted=promoted,
            adopted=adopted,
            reason=trained.version_description
            or f"version {trained.version_id} {verdict}: the alias {config.model_alias} is at "
            f"version {champion.version_id}",
            metrics={name: metrics[name] for name in metrics if name not in of_champion},
            champion_metrics={
                name.removesuffix(_OF_CHAMPION): metrics[name] for name in of_champion
            },
            training_rows=None if rows is None else int(rows),
            training_days=(first_day, last_day),
            trained_until=config.windows.end_of(last_day),
            console_url=self._page(job.name),
            comparison=pipeline_comparison(job),
        )

    def _follow_model(
        self, config: MonitoringConfig, version: str, progress: Callable[[str], None]
    ) -> tuple[str, ...]:
        # Whatever is wrong with a monitor, the training has finished.
        try:
            if not self.own_monitors(config).monitor_ids:
                return ()
            applied = self.apply_model_monitor(config)
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

    def find_restorable(self, config: MonitoringConfig, version: str) -> RestorableVersion:
        """See `DriftPlatform`; training data are looked for where the model is monitored."""
        champion = find_model(self.connection, config)
        versions = list_versions(self.connection, champion)
        found = next((item for item in versions if item.version_id == version), None)
        if found is None:
            there = ", ".join(item.version_id for item in reversed(versions))
            raise PlatformError(f"{champion.name} has no version {version!r}; it has {there}")
        days = trained_days(self.connection, config, found)
        if self.own_monitors(config).monitor_ids:
            try:
                self.find_data(training_source(self.connection, config, found), days)
            except PlatformError as error:
                raise PlatformError(
                    f"the data that version {version} was trained on, its baseline, cannot be "
                    f"read: {error}"
                ) from error
        of_champion = trained_days(self.connection, config, champion)
        return RestorableVersion(
            version=version,
            training_days=(days.first_day, days.last_day),
            training_rows=None,
            trained_until=config.windows.end_of(days.last_day),
            champion=champion.version_id,
            champion_trained_until=config.windows.end_of(of_champion.last_day),
        )

    def restore(self, config: MonitoringConfig, found: RestorableVersion) -> None:
        """See `DriftPlatform`; the alias moves to the version, and so does the monitor."""
        champion = find_model(self.connection, config)
        if champion.version_id not in (found.version, found.champion):
            raise PlatformError(
                f"the alias {config.model_alias} was at version {found.champion} and is at version "
                f"{champion.version_id} meanwhile; look at `transak-drift status`, and run this "
                "again if it is still right"
            )
        if champion.version_id != found.version:
            # An alias is at one version: given to another, it is taken from the former ("How to
            # use model version aliases", Vertex AI documentation).
            self.connection.call(
                self.connection.models.merge_version_aliases,
                name=f"{champion.name}@{found.version}",
                version_aliases=[config.model_alias],
            )
        if self.own_monitors(config).monitor_ids:
            self.apply_model_monitor(config)

    def overview(self, config: MonitoringConfig) -> Overview:
        model = find_model(self.connection, config)
        of_model = monitors.monitors_of(self.connection, model)
        monitor = monitors.monitor_in_use(of_model, config, model)
        return Overview(
            model_monitor=None if monitor is None else monitors.name_of(self.connection, monitor),
            model_versions=[
                {
                    "version": version.version_id,
                    "champion": "yes" if config.model_alias in version.version_aliases else "",
                    "uploaded": f"{version.version_create_time:%Y-%m-%d %H:%M}",
                    "pipeline job": version.pipeline_job.rpartition("/")[2],
                    "description": version.version_description,
                }
                for version in list_versions(self.connection, model)
            ],
            monitoring_results=self.recent_results(config, _MAX_RESULTS),
        )


def _naming_column(config: MonitoringConfig) -> str:
    """Choose the monitored column whose values name the rows that lack a label."""
    features = [
        name for name in config.drift_thresholds if config.feature_type(name) != "numerical"
    ]
    return "description" if "description" in features else next(iter(features), config.label_column)


def _states_of(job: PipelineJob) -> dict[str, str]:
    """Return the states of a job and of its steps, by name."""
    states = {job.name: PipelineState(job.state).name}
    for task in job.job_detail.task_details:
        states[task.task_name] = PipelineTaskDetail.State(task.state).name
    return {
        name: state.removeprefix("PIPELINE_STATE_").lower().replace("_", " ")
        for name, state in states.items()
    }
