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

from transak_drift.assets.names import (
    BASELINE_DATASET,
    DAILY_MONITORING_JOB,
    DRIFT_REPORT,
    MODEL_MONITOR,
    MONITORING_RUN,
    PREDICTIONS,
    REGISTERED_MODEL,
    RETRAIN_JOB,
    TRAINED_MODEL,
    TRANSACTIONS,
)

PREPARE_JOB = "prepare_monitoring"


def build_prepare_job() -> AssetJob:
    """Return the job that finds (or first trains) the model and applies the configuration."""
    return dg.define_asset_job(
        PREPARE_JOB,
        selection=dg.AssetSelection.assets(REGISTERED_MODEL, MODEL_MONITOR),
        description="Finds the registered model and applies the monitoring configuration.",
    )


def build_daily_monitoring_job() -> AssetJob:
    """Return the job that predicts and monitors one day; it can be backfilled."""
    return dg.define_asset_job(
        DAILY_MONITORING_JOB,
        selection=dg.AssetSelection.assets(TRANSACTIONS, PREDICTIONS, MONITORING_RUN, DRIFT_REPORT),
        description="Predicts and monitors one day.",
    )


def build_retrain_job() -> AssetJob:
    """Return the job that trains a challenger and, if it is not worse, promotes it."""
    return dg.define_asset_job(
        RETRAIN_JOB,
        selection=dg.AssetSelection.assets(TRAINED_MODEL, BASELINE_DATASET),
        description="Trains a challenger on fresh data; promoted, its data are the new baseline.",
    )


def build_daily_schedule(
    job: AssetJob,
) -> dg.ScheduleDefinition | UnresolvedPartitionedAssetScheduleDefinition:
    """Return the schedule that monitors each day once it is over, at 03:00 UTC."""
    return dg.build_schedule_from_partitioned_job(
        job,
        name="daily_monitoring_schedule",
        hour_of_day=3,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Monitors each new day.",
    )
