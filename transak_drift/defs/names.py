"""Names that assets, checks, jobs and sensors share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig

OWNERS = ["team:mlops"]

PREPARE_JOB = "prepare_monitoring"
DAILY_MONITORING_JOB = "daily_monitoring"
RETRAIN_JOB = "retrain"
DRIFT_HISTORY_JOB = "refresh_drift_history"

DRIFT_EVENT_TAG = "transak_drift/drift_event"
MONITORING_JOB_TAG = "transak_drift/monitoring_job"
MODEL_TAG = "transak_drift/model"
REPORT_TAG = "transak_drift/report"
MONITOR_PAGE_TAG = "transak_drift/monitor_page"
FEATURE_PAGE_TAG = "transak_drift/feature_page"

JOB_NAME_METADATA = "monitoring job"
PAGE_METADATA = "report page"
TRAINED_UNTIL_METADATA = "trained until"


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Names of what Dagster has of one monitored model.

    Args:
        prefix: the model's `asset_prefix`, or None: its names stand alone then.
    """

    prefix: str | None = None

    @classmethod
    def of(cls, config: MonitoringConfig) -> ModelNames:
        """Return the names of a monitored model."""
        return cls(config.asset_prefix)

    def name(self, name: str) -> str:
        """Return a name of a job, sensor, schedule, group or operation of this model."""
        return name if self.prefix is None else f"{self.prefix}_{name}"

    def asset(self, name: str) -> dg.AssetKey:
        """Return the key of an asset of this model."""
        return dg.AssetKey(name if self.prefix is None else [self.prefix, name])

    @property
    def registered_model(self) -> dg.AssetKey:
        """The model that predicts at present."""
        return self.asset("registered_model")

    @property
    def model_monitor(self) -> dg.AssetKey:
        """The monitoring configuration as applied."""
        return self.asset("model_monitor")

    @property
    def transactions(self) -> dg.AssetKey:
        """The transactions of each day."""
        return self.asset("transactions")

    @property
    def predictions(self) -> dg.AssetKey:
        """The predictions of each day."""
        return self.asset("predictions")

    @property
    def monitoring_run(self) -> dg.AssetKey:
        """The monitoring run of each day."""
        return self.asset("monitoring_run")

    @property
    def drift_report(self) -> dg.AssetKey:
        """What each day's monitoring run found."""
        return self.asset("drift_report")

    @property
    def drift_history(self) -> dg.AssetKey:
        """The reports of all days together."""
        return self.asset("drift_history")

    @property
    def drift_event(self) -> dg.AssetKey:
        """What became of drift messages."""
        return self.asset("drift_event")

    @property
    def trained_model(self) -> dg.AssetKey:
        """The newest challenger."""
        return self.asset("trained_model")

    @property
    def baseline_dataset(self) -> dg.AssetKey:
        """The data that the champion learned from."""
        return self.asset("baseline_dataset")

    @property
    def data_group(self) -> str:
        """Group of the assets of data."""
        return self.name("data")

    @property
    def monitoring_group(self) -> str:
        """Group of the assets of monitoring."""
        return self.name("monitoring")

    @property
    def training_group(self) -> str:
        """Group of the assets of training."""
        return self.name("training")

    @property
    def prepare_job(self) -> str:
        """The job that applies the configuration."""
        return self.name(PREPARE_JOB)

    @property
    def daily_monitoring_job(self) -> str:
        """The job that predicts and monitors one day."""
        return self.name(DAILY_MONITORING_JOB)

    @property
    def retrain_job(self) -> str:
        """The job that trains."""
        return self.name(RETRAIN_JOB)

    @property
    def drift_history_job(self) -> str:
        """The job that refreshes the drift history."""
        return self.name(DRIFT_HISTORY_JOB)

    @property
    def train_operation(self) -> str:
        """The operation of the retrain job, which its run config names."""
        return self.name("train")


def check_names(features: Iterable[str]) -> dict[str, str]:
    """Name the asset check of each feature.

    Args:
        features: names of features, which may hold any character.

    Returns:
        By feature a name of letters, digits and underscores, different for each.
    """
    names: dict[str, str] = {}
    for feature in features:
        base = re.sub(r"[^A-Za-z0-9_]", "_", feature) + "_drift"
        name, number = base, 2
        while name in names.values():
            name, number = f"{base}_{number}", number + 1
        names[feature] = name
    return names


def partition_day(partition_key: str) -> date:
    """Return the day of a daily partition."""
    return date.fromisoformat(partition_key)


def daily_partitions(start: date) -> dg.DailyPartitionsDefinition:
    """Return the daily partitions (UTC) from a day on."""
    return dg.DailyPartitionsDefinition(
        start_date=datetime(start.year, start.month, start.day, tzinfo=UTC)
    )
