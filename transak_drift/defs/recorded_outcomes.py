"""What is recorded of drift events and of their trainings, read from Dagster's storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.names import DRIFT_EVENT_TAG, ModelNames
from transak_drift.drift.drift_event import FeatureAnomaly, drift_event_key
from transak_drift.notifications.notification import RecordedOutcome, TrainingEnd
from transak_drift.trigger.trigger_plan import OutcomeKind

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
    records = instance.fetch_observations(
        dg.AssetRecordsFilter(
            asset_key=key,
            after_storage_id=seen,
            after_timestamp=since.timestamp() if seen is None else None,
        ),
        limit=limit,
        ascending=True,
    ).records
    outcomes = [
        outcome
        for record in records
        if record.event_log_entry.asset_observation is not None
        for outcome in _outcomes(record.event_log_entry.asset_observation.metadata, config)
    ]
    return OutcomeReading(records[-1].storage_id if records else newest, tuple(outcomes))


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


def _outcomes(
    metadata: Mapping[str, dg.MetadataValue], config: MonitoringConfig
) -> Iterator[RecordedOutcome]:
    outcome = metadata.get("outcome")
    try:
        kind = OutcomeKind(str(outcome.value)) if outcome is not None else None
    except ValueError:
        kind = None
    if kind is None:
        return
    rows = metadata.get("list")
    if isinstance(rows, dg.TableMetadataValue):
        for row in rows.records:
            found = _outcome_of_row(kind, row.data, config)
            if found is not None:
                yield found
        return
    job = metadata.get("monitoring job")
    detail = metadata.get("detail")
    if job is None or not job.value:
        return
    end = metadata.get("window end")
    yield RecordedOutcome(
        monitoring_job_id=str(job.value),
        kind=kind,
        detail="" if detail is None else str(detail.value),
        window_end=_time(end.value if end is not None else None),
        anomalies=tuple(_anomalies(metadata.get("features"))),
    )


def _outcome_of_row(
    kind: OutcomeKind, row: Mapping[str, Any], config: MonitoringConfig
) -> RecordedOutcome | None:
    job = row.get("monitoring job")
    # What belongs to no configured model is written down at the first one.
    if not job or row.get("drift event") != drift_event_key(config.model_monitor_id, str(job)):
        return None
    return RecordedOutcome(
        monitoring_job_id=str(job),
        kind=kind,
        detail=str(row.get("detail") or ""),
        window_end=_time(row.get("window end")),
    )


def _anomalies(features: dg.MetadataValue | None) -> Iterator[FeatureAnomaly]:
    if not isinstance(features, dg.TableMetadataValue):
        return
    for record in features.records:
        row = record.data
        distance, threshold = row.get("distance"), row.get("threshold")
        if isinstance(distance, int | float):
            yield FeatureAnomaly(
                feature=str(row.get("feature")),
                deviation=float(distance),
                threshold=float(threshold) if isinstance(threshold, int | float) else None,
            )


def _time(value: Any) -> datetime | None:
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        return datetime.fromisoformat(value).astimezone(UTC) if value else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None
