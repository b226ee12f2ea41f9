"""The local platform: the same work as on Google Cloud, for real, on one machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import model_monitor_name
from transak_drift.drift.monitoring_job import ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.landing import Landing
from transak_drift.local.model_registry import ModelVersion
from transak_drift.local.monitoring import (
    list_monitoring_jobs,
    monitor_drifted_window,
    read_monitoring_job,
    read_monitoring_result,
    recent_monitoring_results,
    run_monitoring,
)
from transak_drift.local.monitors import apply_model_monitor
from transak_drift.local.own_transactions import own_transactions
from transak_drift.local.prediction import predict_day
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.training import LocalTraining
from transak_drift.local.transaction_generator import GeneratorSettings
from transak_drift.local.transaction_source import (
    GeneratedTransactions,
    TransactionSource,
)
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

_MOST_RESULTS = 14


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    """Implements `DriftPlatform`.

    Args:
        root: the local platform's directory.
        generator: settings of the generated transactions; unused with the user's own data.
        publish: publishes a body to the trigger topic of a configuration, returns the id.
    """

    root: Path
    generator: GeneratorSettings
    publish: Callable[[MonitoringConfig, bytes], str]

    def land_transactions(self, config: MonitoringConfig, day: date) -> Dataset:
        """See `DriftPlatform`."""
        return self._landing(config).land_again(day)

    def ensure_registered_model(self, config: MonitoringConfig) -> RegisteredModel:
        """See `DriftPlatform`."""
        training = self._training(config)
        before = training.registry.champion()
        model = before or training.train_first_version()
        if model is None:
            return RegisteredModel(
                version=None,
                created=False,
                trained_until=None,
                detail=(
                    f"the transactions have no column {config.label_column!r} to learn from: they "
                    "are monitored without predictions; name the label with label_column"
                ),
            )
        created = before is None
        first, last = model.training_days
        return RegisteredModel(
            version=str(model.number),
            created=created,
            trained_until=datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC),
            detail=(
                f"version {model.number} of {config.model_name}, trained on {first} to {last}"
                + (": the first version" if created else "")
            ),
            metrics={"accuracy": model.metrics["accuracy"], "macro F1": model.metrics["macro_f1"]},
        )

    def apply_model_monitor(self, config: MonitoringConfig) -> AppliedModelMonitor:
        """See `DriftPlatform`."""
        return apply_model_monitor(self._state(config))

    def predict(self, config: MonitoringConfig, day: date) -> PredictedDataset:
        """See `DriftPlatform`."""
        return predict_day(self._state(config), self._training(config).registry, day)

    def start_monitoring_run(self, config: MonitoringConfig, day: date) -> StartedMonitoringRun:
        """See `DriftPlatform`; on this platform the run is finished on return."""
        training = self._training(config)
        name, baseline = training.baseline(training.registry.champion())
        return run_monitoring(
            self._state(config), day, name, baseline, lambda body: self.publish(config, body)
        )

    def monitor_drifted_window(self, config: MonitoringConfig, day: date) -> MonitoringJob:
        """Monitor generated transactions that drift; the first model is trained where none is."""
        self.ensure_registered_model(config)
        training = self._training(config)
        baseline = training.baseline(training.registry.champion())
        return monitor_drifted_window(self._state(config), day, self.generator, *baseline)

    def monitoring_result(self, config: MonitoringConfig, job_name: str) -> MonitoringResult | None:
        """See `DriftPlatform`."""
        return read_monitoring_result(self._state(config), job_name)

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        """See `DriftPlatform`."""
        projects = {config.project_id, config.project_number or config.project_id}
        return OwnMonitors(frozenset(projects), config.location, (config.model_monitor_id,))

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        """See `DriftPlatform`; on this platform a job that is listed has ended."""
        return list_monitoring_jobs(self._state(config), since)

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        """See `DriftPlatform`."""
        return read_monitoring_job(self._state(config), model_monitor_id, monitoring_job_id)

    def train(
        self,
        config: MonitoringConfig,
        request: TrainingRequest,
        progress: Callable[[str], None],
    ) -> TrainingResult:
        """See `DriftPlatform`."""
        return self._training(config).train(request, progress)

    def overview(self, config: MonitoringConfig) -> Overview:
        """See `DriftPlatform`."""
        state = self._state(config)
        return Overview(
            model_monitor=model_monitor_name(
                config.project_id, config.location, config.model_monitor_id
            )
            if state.model_monitor.exists()
            else None,
            model_versions=[
                _version_row(version)
                for version in reversed(self._training(config).registry.versions())
            ],
            monitoring_results=[
                _result_row(result) for result in recent_monitoring_results(state, _MOST_RESULTS)
            ],
        )

    def _state(self, config: MonitoringConfig) -> StateDirectory:
        return StateDirectory(self.root, config)

    def _landing(self, config: MonitoringConfig) -> Landing:
        return Landing(self._state(config), self._source(config))

    def _training(self, config: MonitoringConfig) -> LocalTraining:
        return LocalTraining(self._state(config), self._landing(config), self.generator.seed)

    def _source(self, config: MonitoringConfig) -> TransactionSource:
        if config.transactions is None:
            return GeneratedTransactions(self.generator)
        return own_transactions(config)


def _version_row(version: ModelVersion) -> dict[str, object]:
    first, last = version.training_days
    return {
        "version": version.number,
        "champion": "yes" if version.is_champion else "",
        "trained on": f"{first} to {last}",
        "rows": version.rows,
        "macro F1": round(float(version.metrics["macro_f1"]), 4),
        "drift event": version.drift_event_key or "",
    }


def _result_row(result: MonitoringResult) -> dict[str, object]:
    return {
        "day": str(result.day),
        "baseline": result.baseline_name,
        **{
            feature.feature: None if feature.distance is None else round(feature.distance, 6)
            for feature in result.features
        },
        "verdict": "drift" if result.drifted else "ok",
    }
