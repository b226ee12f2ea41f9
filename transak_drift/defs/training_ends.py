"""How the trainings of drift events ended, read from Dagster's storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.keys import DRIFT_EVENT_TAG, TRAINED_MODEL, ModelNames
from transak_drift.notifications.texts import TrainingEnd

# Set by Dagster on a failed run that its daemon runs again by itself.
_WILL_RETRY_TAG = "dagster/will_retry"
_KEYS_PER_QUERY = 300

_FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def newest_training_runs(
    instance: dg.DagsterInstance, event_keys: Iterable[str]
) -> dict[str, dg.DagsterRun]:
    """Find by drift event its newest training run, where it has one."""
    wanted = sorted(event_keys)
    newest: dict[str, dg.DagsterRun] = {}
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        tags = {DRIFT_EVENT_TAG: wanted[start : start + _KEYS_PER_QUERY]}
        # Newest first.
        for record in instance.get_run_records(dg.RunsFilter(tags=tags)):
            run = record.dagster_run
            newest.setdefault(run.tags[DRIFT_EVENT_TAG], run)
    return newest


def training_end(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    key: str,
    window_end: datetime | None,
    run: dg.DagsterRun,
) -> TrainingEnd | None:
    """Say how the newest run of an event's training ended; None while it runs or will run again."""
    if run.status not in _FINISHED:
        return None
    if run.status == dg.DagsterRunStatus.FAILURE and run.tags.get(_WILL_RETRY_TAG) == "true":
        return None
    found: Mapping[str, Any] = {}
    if run.status == dg.DagsterRunStatus.SUCCESS:
        found = _trained_model(instance, config, run.run_id)
    version = str(found["version"]) if "version" in found else None
    console = found.get("console")
    return TrainingEnd(
        key=key,
        window_end=window_end,
        run_id=run.run_id,
        version=version,
        promoted=found.get("promoted") is True,
        reason=str(found.get("reason", "")) or _failure(instance, run),
        console_url=console if isinstance(console, str) else None,
    )


def _trained_model(
    instance: dg.DagsterInstance, config: MonitoringConfig, run_id: str
) -> dict[str, Any]:
    key = ModelNames.of(config).asset(TRAINED_MODEL)
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    for record in records:
        materialization = record.asset_materialization
        if materialization is not None and materialization.asset_key == key:
            return {name: value.value for name, value in materialization.metadata.items()}
    return {}


def _failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    if run.status == dg.DagsterRunStatus.CANCELED:
        return "the run was cancelled"
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "the run ended without a model"
    records = instance.get_records_for_run(
        run.run_id, of_type={dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    ).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or not event.is_step_failure:
            continue
        user_failure = event.step_failure_data.user_failure_data
        if user_failure is not None and user_failure.description:
            return user_failure.description
        if event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            return (error.cause or error).message
    for record in records:
        if record.event_log_entry.dagster_event is not None:
            return record.event_log_entry.dagster_event.message or "see the run"
    return "see the run"
