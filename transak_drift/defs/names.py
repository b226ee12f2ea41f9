"""Moved to `keys`; kept until its last importer has followed."""

from __future__ import annotations

from dagster import AssetKey

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import *  # noqa: F403


class ModelNames(keys.ModelNames):
    """Names with a property each."""

    @classmethod
    def of(cls, config: MonitoringConfig) -> ModelNames:
        return cls(config.asset_prefix)

    @property
    def registered_model(self) -> AssetKey:
        return self.asset(keys.REGISTERED_MODEL)

    @property
    def model_monitor(self) -> AssetKey:
        return self.asset(keys.MODEL_MONITOR)

    @property
    def transactions(self) -> AssetKey:
        return self.asset(keys.TRANSACTIONS)

    @property
    def predictions(self) -> AssetKey:
        return self.asset(keys.PREDICTIONS)

    @property
    def monitoring_run(self) -> AssetKey:
        return self.asset(keys.MONITORING_RUN)

    @property
    def drift_report(self) -> AssetKey:
        return self.asset(keys.DRIFT_REPORT)

    @property
    def drift_history(self) -> AssetKey:
        return self.asset(keys.DRIFT_HISTORY)

    @property
    def drift_event(self) -> AssetKey:
        return self.asset(keys.DRIFT_EVENT)

    @property
    def trained_model(self) -> AssetKey:
        return self.asset(keys.TRAINED_MODEL)

    @property
    def baseline_dataset(self) -> AssetKey:
        return self.asset(keys.BASELINE_DATASET)

    @property
    def prepare_job(self) -> str:
        return self.name(keys.PREPARE_JOB)

    @property
    def daily_monitoring_job(self) -> str:
        return self.name(keys.DAILY_MONITORING_JOB)

    @property
    def retrain_job(self) -> str:
        return self.name(keys.RETRAIN_JOB)

    @property
    def drift_history_job(self) -> str:
        return self.name(keys.DRIFT_HISTORY_JOB)

    @property
    def train_operation(self) -> str:
        return self.name(keys.TRAIN_OPERATION)
