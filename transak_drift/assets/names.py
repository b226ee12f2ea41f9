"""Names that assets, checks, jobs and sensors share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime

import dagster as dg

OWNERS = ["team:mlops"]

DATA_GROUP = "data"
MONITORING_GROUP = "monitoring"
TRAINING_GROUP = "training"

REGISTERED_MODEL = dg.AssetKey("registered_model")
MODEL_MONITOR = dg.AssetKey("model_monitor")
TRANSACTIONS = dg.AssetKey("transactions")
PREDICTIONS = dg.AssetKey("predictions")
MONITORING_RUN = dg.AssetKey("monitoring_run")
DRIFT_REPORT = dg.AssetKey("drift_report")
DRIFT_EVENT = dg.AssetKey("drift_event")
TRAINED_MODEL = dg.AssetKey("trained_model")
BASELINE_DATASET = dg.AssetKey("baseline_dataset")

RETRAIN_JOB = "retrain"
DAILY_MONITORING_JOB = "daily_monitoring"

DRIFT_EVENT_TAG = "transak_drift/drift_event"
MONITORING_JOB_TAG = "transak_drift/monitoring_job"
MODEL_TAG = "transak_drift/model"

JOB_NAME_METADATA = "monitoring job"
PAGE_METADATA = "report page"
TRAINED_UNTIL_METADATA = "trained until"


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
