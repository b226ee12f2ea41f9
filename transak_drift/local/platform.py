"""The local platform: the same work as on Google Cloud, for real, on one machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import model_monitor_name, parse_monitoring_job_name
from transak_drift.drift.monitoring_job import ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local import monitoring
from transak_drift.local.file_transactions import own_transactions
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.training import LocalTraining
from transak_drift.local.transaction_generator import GeneratedTransactions, GeneratorSettings
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

_MAX_RESULTS = 14


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    """Implements `DriftPlatform`; `publish` sends a body to a configuration's trigger topic."""

    root: Path
    generator: GeneratorSettings
    publish: Callable[[MonitoringConfig, bytes], str]

    def land_transactions(self, config: MonitoringConfig, day: date) -> Dataset:
        return self._training(config).land_day(day)

    def ensure_registered_model(self, config: MonitoringConfig) -> RegisteredModel:
        training = self._training(config)
        before = training.registry.champion()
        model = before or training.train_first_version()
        if model is None:
            detail = (
                f"the transactions have no column {config.label_column!r} to learn from: they are "
                "monitored without predictions; name the label with label_column"
            )
            return RegisteredModel(None, created=False, trained_until=None, detail=detail)
        created = before is None
        first, last = model.training_days
        detail = f"version {model.number} of {config.model_name}, trained on {first} to {last}"
        return RegisteredModel(
            version=str(model.number),
            created=created,
            trained_until=datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC),
            detail=f"{detail}: the first version" if created else detail,
            metrics={"accuracy": model.metrics["accuracy"], "macro F1": model.metrics["macro_f1"]},
        )

    def apply_model_monitor(self, config: MonitoringConfig) -> AppliedModelMonitor:
        return monitoring.apply_model_monitor(self._state(config))

    def predict(self, config: MonitoringConfig, day: date) -> PredictedDataset:
        return self._training(config).predict_day(day)

    def start_monitoring_run(self, config: MonitoringConfig, day: date) -> StartedMonitoringRun:
        """See `DriftPlatform`; on this platform the run is finished on return."""
        baseline = self._training(config).baseline()
        return monitoring.run_monitoring(
            self._state(config), day, baseline, lambda body: self.publish(config, body)
        )

    def monitor_drifted_window(self, config: MonitoringConfig, day: date) -> MonitoringJob:
        """Monitor generated transactions that drift; the first model is trained where none is."""
        self.ensure_registered_model(config)
        baseline = self._training(config).baseline()
        return monitoring.monitor_drifted_window(self._state(config), day, self.generator, baseline)

    def monitoring_result(self, config: MonitoringConfig, job_name: str) -> MonitoringResult | None:
        *_, monitor_id, job_id = parse_monitoring_job_name(job_name)
        return monitoring.read_monitoring_result(self._state(config), monitor_id, job_id)

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        projects = {config.project_id, config.project_number or config.project_id}
        return OwnMonitors(frozenset(projects), config.location, (config.model_monitor_id,))

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        return monitoring.list_monitoring_jobs(self._state(config), since)

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        state = self._state(config)
        return monitoring.read_monitoring_job(state, model_monitor_id, monitoring_job_id)

    def train(
        self,
        config: MonitoringConfig,
        request: TrainingRequest,
        progress: Callable[[str], None],
    ) -> TrainingResult:
        return self._training(config).train(request, progress)

    def overview(self, config: MonitoringConfig) -> Overview:
        state = self._state(config)
        name = model_monitor_name(config.project_id, config.location, config.model_monitor_id)
        return Overview(
            model_monitor=name if state.model_monitor.exists() else None,
            model_versions=[
                {
                    "version": version.number,
                    "champion": "yes" if version.is_champion else "",
                    "trained on": "{} to {}".format(*version.training_days),
                    "rows": version.rows,
                    "macro F1": round(float(version.metrics["macro_f1"]), 4),
                    "drift event": version.drift_event_key or "",
                }
                for version in reversed(self._training(config).registry.versions())
            ],
            monitoring_results=[
                {
                    "day": str(result.day),
                    "baseline": result.baseline_name,
                    **{
                        item.feature: None if item.distance is None else round(item.distance, 6)
                        for item in result.features
                    },
                    "verdict": "drift" if result.drifted else "ok",
                }
                for result in monitoring.recent_monitoring_results(state, _MAX_RESULTS)
            ],
        )

    def _state(self, config: MonitoringConfig) -> StateDirectory:
        return StateDirectory(self.root, config)

    def _training(self, config: MonitoringConfig) -> LocalTraining:
        generated = config.transactions is None
        source = GeneratedTransactions(self.generator) if generated else own_transactions(config)
        return LocalTraining(self._state(config), source, self.generator.seed)
