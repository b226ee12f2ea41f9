"""Rollbacks in Dagster's event log: an observation of `registered_model`, then the new baseline.

The observation is written before the version is restored, and the baseline afterwards, so that a
rollback that was cut off is known, and repeated it goes on with the same record.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames
from transak_drift.platform import PlatformError, RestorableVersion
from transak_drift.training.rollback import Rollback

# Others may observe the asset as well.
_MAX_RECORDS = 20
IN_FLIGHT = [
    dg.DagsterRunStatus(status)
    for status in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")
]


def newest_rollback(instance: dg.DagsterInstance, names: ModelNames) -> Rollback | None:
    """Return the newest rollback of a model, finished or not."""
    key = names.asset(keys.REGISTERED_MODEL)
    for record in instance.fetch_observations(key, limit=_MAX_RECORDS).records:
        if (rollback := read_rollback(record)) is not None:
            return rollback
    return None


def read_rollback(record: dg.EventLogRecord) -> Rollback | None:
    """Read an observation of `registered_model`; None where it is of something else."""
    observed = record.asset_observation
    value = observed.metadata.get(keys.ROLLBACK_METADATA) if observed else None
    try:
        return Rollback.model_validate(value and value.value)
    except ValidationError:
        return None


def is_finished(instance: dg.DagsterInstance, names: ModelNames, rollback: Rollback) -> bool:
    """Return whether the baseline of a rollback is recorded."""
    key = names.asset(keys.BASELINE_DATASET)
    records = instance.fetch_materializations(key, limit=_MAX_RECORDS).records
    made = [
        record.asset_materialization.metadata for record in records if record.asset_materialization
    ]
    values = [metadata.get(keys.ROLLBACK_METADATA) for metadata in made]
    return _identity(rollback) in [value.value for value in values if value is not None]


def require_no_training(instance: dg.DagsterInstance, names: ModelNames) -> None:
    """Raise a `PlatformError` where a training of the model is queued or runs."""
    job = names.name(keys.RETRAIN_JOB)
    if runs := instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_FLIGHT), limit=1):
        raise PlatformError(
            f"a training is in flight (run {runs[0].run_id} of {job}), whose version may become "
            "the champion; wait for its end or cancel it in the Dagster UI, and run this again"
        )


def write_rollback(instance: dg.DagsterInstance, names: ModelNames, rollback: Rollback) -> None:
    """Record a rollback that begins, durable on return."""
    instance.report_runless_asset_event(
        dg.AssetObservation(
            names.asset(keys.REGISTERED_MODEL),
            description=rollback.summary(),
            metadata={
                "version": rollback.champion_after,
                "version before": rollback.champion_before,
                "by": rollback.by,
                "reason": rollback.reason,
                keys.ROLLBACK_METADATA: rollback.model_dump(mode="json"),
            },
        )
    )


def write_baseline(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    rollback: Rollback,
    restored: RestorableVersion,
) -> None:
    """Record that the training data of the restored version are the baseline again."""
    first_day, last_day = restored.training_days
    since = rollback.at.astimezone(ZoneInfo(config.time_zone))
    rows = {} if restored.training_rows is None else {"dagster/row_count": restored.training_rows}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            ModelNames.of(config).asset(keys.BASELINE_DATASET),
            description=rollback.summary(),
            metadata={
                "model version": restored.version,
                "first day": str(first_day),
                keys.LAST_DAY_METADATA: str(last_day),
                keys.TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(restored.trained_until),
                keys.BASELINE_SINCE_METADATA: str(since.date()),
                keys.ROLLBACK_METADATA: _identity(rollback),
                **rows,
            },
        )
    )


def _identity(rollback: Rollback) -> str:
    return rollback.at.isoformat()
