"""What Dagster's own storage knows of trainings: the durable side of the trigger's decisions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg

from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_EVENT_TAG,
    RETRAIN_JOB,
    TRAINED_MODEL,
    TRAINED_UNTIL_METADATA,
    ModelNames,
)
from transak_drift.trigger.decision import TrainingRuns
from transak_drift.trigger.retrain_policy import TrainingHistory

# Databases limit the parameters of one statement; SQLite to 999 in old versions.
_KEYS_PER_QUERY = 300
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def find_training_runs(instance: dg.DagsterInstance, event_keys: Iterable[str]) -> TrainingRuns:
    """Find which drift events have a training run, and which of those was handed over to run."""
    keys = sorted(event_keys)
    created: set[str] = set()
    launched: set[str] = set()
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        part = keys[start : start + _KEYS_PER_QUERY]
        for record in instance.get_run_records(dg.RunsFilter(tags={DRIFT_EVENT_TAG: part})):
            key = record.dagster_run.tags[DRIFT_EVENT_TAG]
            created.add(key)
            if record.dagster_run.status != dg.DagsterRunStatus.NOT_STARTED:
                launched.add(key)
    return TrainingRuns(created, launched)


def training_history(
    instance: dg.DagsterInstance, names: ModelNames, *, answers: bool = True
) -> TrainingHistory:
    """Sum up the trainings of a model so far.

    Without `answers` it is not read which windows they reached: only held events are answered.
    """
    job = names.name(RETRAIN_JOB)
    newest = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    return TrainingHistory(
        in_flight=instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=_UNFINISHED)),
        last_start=newest[0].create_timestamp.astimezone(UTC) if newest else None,
        baseline_until=_trained_until(instance, names.asset(BASELINE_DATASET)) if answers else None,
        evaluated_until=_trained_until(instance, names.asset(TRAINED_MODEL)) if answers else None,
    )


def _trained_until(instance: dg.DagsterInstance, key: dg.AssetKey) -> datetime | None:
    event = instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    value = materialization.metadata.get(TRAINED_UNTIL_METADATA) if materialization else None
    if not isinstance(value, dg.TimestampMetadataValue) or value.value is None:
        return None
    return datetime.fromtimestamp(value.value, UTC)
