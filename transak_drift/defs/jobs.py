"""Jobs over the assets, and the schedule that monitors each new day."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.partitions.partitioned_schedule import (
    UnresolvedPartitionedAssetScheduleDefinition,
)

# Dagster gives these two types no public name, though its public functions return them.
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition as AssetJob,
)

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.names import ModelNames


def build_prepare_job(config: MonitoringConfig) -> AssetJob:
    """Return the job that finds (or first trains) the model and applies the configuration."""
    names = ModelNames.of(config)
    return dg.define_asset_job(
        names.prepare_job,
        selection=dg.AssetSelection.assets(names.registered_model, names.model_monitor),
        description="Finds the registered model and applies the monitoring configuration.",
    )


def build_daily_monitoring_job(config: MonitoringConfig) -> AssetJob:
    """Return the job that predicts and monitors one day; it can be backfilled."""
    names = ModelNames.of(config)
    return dg.define_asset_job(
        names.daily_monitoring_job,
        selection=dg.AssetSelection.assets(
            names.transactions, names.predictions, names.monitoring_run, names.drift_report
        ),
        description="Predicts and monitors one day.",
    )


def build_drift_history_job(config: MonitoringConfig) -> AssetJob:
    """Return the job that refreshes the drift history."""
    names = ModelNames.of(config)
    return dg.define_asset_job(
        names.drift_history_job,
        selection=dg.AssetSelection.assets(names.drift_history),
        description="Puts the reports of all days together, and finds when drift began.",
    )


def build_retrain_job(config: MonitoringConfig) -> AssetJob:
    """Return the job that trains a challenger and, if it is not worse, promotes it."""
    names = ModelNames.of(config)
    return dg.define_asset_job(
        names.retrain_job,
        selection=dg.AssetSelection.assets(names.trained_model, names.baseline_dataset),
        description="Trains a challenger on fresh data; promoted, its data are the new baseline.",
    )


def build_daily_schedule(
    config: MonitoringConfig, job: AssetJob
) -> dg.ScheduleDefinition | UnresolvedPartitionedAssetScheduleDefinition:
    """Return the schedule that monitors each day once it is over, at 03:00 UTC."""
    return dg.build_schedule_from_partitioned_job(
        job,
        name=ModelNames.of(config).name("daily_monitoring_schedule"),
        hour_of_day=3,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Monitors each new day.",
    )
