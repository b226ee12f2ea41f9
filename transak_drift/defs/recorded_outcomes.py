"""What is recorded of drift events and of their trainings, read from Dagster's storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.names import DRIFT_EVENT_TAG, ModelNames
from transak_drift.drift.drift_event import drift_event_key
from transak_drift.notifications.notification import RecordedOutcome, TrainingEnd

# Set by Dagster on a failed run that its daemon runs again by itself.
_WILL_RETRY_TAG = "dagster/will_retry"
_KEYS_PER_QUERY = 300

_FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


@dataclass(frozen=True, slots=True)
class OutcomeReading:
    """A part of what is recorded.

    Args:
        seen: storage id of the newest observation that was read.
        outcomes: what the observations say, oldest first.
    """

    seen: int
    outcomes: tuple[RecordedOutcome, ...]


def read_outcomes(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    seen: int | None,
    since: datetime,
    limit: int,
) -> OutcomeReading:
    """Read what became of drift events.

    Args:
        instance: the Dagster instance.
        config: the monitored model.
        seen: storage id of the newest observation that was read before, or None.
        since: where nothing was read before, older observations are left out.
        limit: greatest number of observations.

    Returns:
        The outcomes; observations of another form, which others may record, are left out.
    """
    key = ModelNames.of(config).drift_event
    newest = seen
    if newest is None:
        # Asked before the rest is read, so that what is recorded in between is read later.
        latest = instance.fetch_observations(key, limit=1).records
        newest = latest[0].storage_id if latest else 0
    found = read_records(
        instance,
        key,
        after=seen,
        since=since.timestamp() if seen is None else None,
        limit=limit,
    )
    outcomes = [
        RecordedOutcome(
            monitoring_job_id=record.key.partition("/")[2],
            kind=record.kind,
            detail=record.detail,
            window_end=record.event.window_end,
            anomalies=record.event.features,
        )
        for _, records in found
        for record in records
        if record.event is not None
    ]
    return OutcomeReading(found[-1][0] if found else newest, tuple(outcomes))


def newest_training_runs(
    instance: dg.DagsterInstance, config: MonitoringConfig, monitoring_job_ids: Iterable[str]
) -> dict[str, dg.DagsterRun]:
    """Find the newest training run of drift events.

    Args:
        instance: the Dagster instance.
        config: the monitored model.
        monitoring_job_ids: the monitoring jobs that found the drift.

    Returns:
        By id of the monitoring job its newest run, where it has one.
    """
    keys = {drift_event_key(config.model_monitor_id, job): job for job in monitoring_job_ids}
    wanted = sorted(keys)
    newest: dict[str, dg.DagsterRun] = {}
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        tags = {DRIFT_EVENT_TAG: wanted[start : start + _KEYS_PER_QUERY]}
        # Newest first.
        for record in instance.get_run_records(dg.RunsFilter(tags=tags)):
            run = record.dagster_run
            newest.setdefault(keys[run.tags[DRIFT_EVENT_TAG]], run)
    return newest


def training_end(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    monitoring_job_id: str,
    window_end: datetime | None,
    run: dg.DagsterRun,
) -> TrainingEnd | None:
    """Tell how a training ended.

    Args:
        instance: the Dagster instance.
        config: the monitored model.
        monitoring_job_id: the monitoring job that found the drift.
        window_end: end of the window that drifted, or None where unknown.
        run: the newest run of the training.

    Returns:
        How it ended, or None while it runs or is going to be run again.
    """
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
        monitoring_job_id=monitoring_job_id,
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
    key = ModelNames.of(config).trained_model
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
