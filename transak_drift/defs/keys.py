"""Names that the model's assets, jobs, tags and metadata have in Dagster.

Not here: what a name stands for. Imports no other module of `defs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig

TRANSACTIONS = "transactions"
PREDICTIONS = "predictions"
MODEL_MONITOR = "model_monitor"
MONITORING_RUN = "monitoring_run"
DRIFT_REPORT = "drift_report"
DRIFT_HISTORY = "drift_history"
MODEL_HISTORY = "model_history"
DRIFT_EVENT = "drift_event"
REGISTERED_MODEL = "registered_model"
TRAINED_MODEL = "trained_model"
BASELINE_DATASET = "baseline_dataset"

DATA_GROUP = "data"
MONITORING_GROUP = "monitoring"
TRAINING_GROUP = "training"

PREPARE_JOB = "prepare_monitoring"
APPLY_JOB = "apply_model_monitor"
RETRAIN_JOB = "retrain"
DECISION_JOB = "decide_drift_event"
DRIFT_HISTORY_JOB = "refresh_drift_history"
# The operation of the retrain job, which its run configuration names.
TRAIN_OPERATION = "train"
DECISION_OPERATION = "decide"
MONITOR_OPERATION = "monitor_windows"

DRIFT_EVENT_TAG = "transak_drift/drift_event"
MONITORING_JOB_TAG = "transak_drift/monitoring_job"
MODEL_TAG = "transak_drift/model"
REPORT_TAG = "transak_drift/report"
MONITOR_PAGE_TAG = "transak_drift/monitor_page"
FEATURE_PAGE_TAG = "transak_drift/feature_page"

JOB_NAME_METADATA = "monitoring job"
MESSAGE_METADATA = "drift message"
PAGE_METADATA = "report page"
# Stands where pages of versions have their version.
HISTORY_PAGE = "history"
TRAINED_UNTIL_METADATA = "trained until"
LAST_DAY_METADATA = "last day"
BASELINE_SINCE_METADATA = "baseline since"
ROLLBACK_METADATA = "rollback"

MAX_WINDOWS_PER_RUN = 7

_ADJECTIVES = {"day": "daily", "week": "weekly", "month": "monthly"}

# What the platform is made of, as shown in the UI, by group.
Kinds = Mapping[str, set[str]]


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Names of what Dagster has of one monitored model; without a prefix they stand alone."""

    prefix: str | None = None

    @classmethod
    def of(cls, config: MonitoringConfig) -> ModelNames:
        return cls(config.asset_prefix)

    def name(self, name: str) -> str:
        """Return a name of a job, sensor, schedule, group or operation of this model."""
        return name if self.prefix is None else f"{self.prefix}_{name}"

    def asset(self, name: str) -> dg.AssetKey:
        """Return the key of an asset of this model."""
        return dg.AssetKey(name if self.prefix is None else [self.prefix, name])

    def grouped(self, group: str, kinds: Kinds) -> dict[str, Any]:
        """Return what the assets of a group have in common."""
        return {"group_name": self.name(group), "kinds": kinds[group], "owners": ["team:mlops"]}


def window_job(config: MonitoringConfig) -> str:
    """Name the job that monitors windows, e.g. daily_monitoring."""
    return ModelNames.of(config).name(f"{_ADJECTIVES[config.monitoring_window]}_monitoring")


def check_names(features: Iterable[str]) -> dict[str, str]:
    """Name the asset check of each feature by letters, digits and underscores.

    The names of features may hold any character; those of their checks differ all the same.
    """
    names: dict[str, str] = {}
    for feature in features:
        base = re.sub(r"[^A-Za-z0-9_]", "_", feature) + "_drift"
        name, number = base, 2
        while name in names.values():
            name, number = f"{base}_{number}", number + 1
        names[feature] = name
    return names
