"""The monitor of the local platform and its runs: a day's transactions against the baseline."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from transak_drift.config.resource_names import model_monitor_name, monitoring_job_name
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.drift.drift_statistics import DriftStatisticsError, compare_features
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.atomic_file import replace_file, write_text
from transak_drift.local.dataset_statistics import Baseline, scan_statistics
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.transaction_generator import GeneratorSettings, generate_day
from transak_drift.platform import AppliedModelMonitor, Change, PlatformError, StartedMonitoringRun
from transak_drift.trigger.assessment import drift_event_of
from transak_drift.trigger.log_entry import anomaly_log_entry
from transak_drift.trigger.sink_filter import lets_through, sink_filter

METHOD = "exact, from every row"
_TEST_JOB = "test-of-the-trigger-"
_TEST_DRIFT_SHARE = 0.8


def apply_model_monitor(state: StateDirectory) -> AppliedModelMonitor:
    """Create or update the stored ModelMonitor; without a difference nothing is written."""
    config = state.config
    name = model_monitor_name(config.project_id, config.location, config.model_monitor_id)
    thresholds, kinds = config.drift_thresholds, config.feature_types
    desired = {
        "displayName": config.monitoring_job_display_name,
        "model": config.model_name,
        **{f"featureThresholds.{feature}": value for feature, value in thresholds.items()},
        **{f"featureTypes.{feature}": kind for feature, kind in kinds.items()},
        "notification.enableCloudLogging": config.log_anomalies,
        "notification.channels": list(config.notification_channels),
        "notification.userEmails": list(config.user_emails),
    }
    exists = state.model_monitor.exists()
    before = _stored_settings(state.model_monitor) if exists else {}
    changes = tuple(
        Change(path, before.get(path), desired.get(path))
        for path in sorted({*before, *desired})
        if before.get(path) != desired.get(path)
    )
    if changes:
        document = {"name": name, "settings": desired}
        write_text(state.model_monitor, json.dumps(document, indent=2))
    return AppliedModelMonitor(name, created=not exists, changes=changes)


def _stored_settings(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformError(
            f"{path} is not a stored ModelMonitor ({error}); delete it and "
            "materialize model_monitor again"
        ) from error


def run_monitoring(
    state: StateDirectory, day: date, baseline: Baseline, publish: Callable[[bytes], str]
) -> StartedMonitoringRun:
    """Compare a day with a baseline, and log and publish an anomaly where a feature drifted.

    The job's id is made of the baseline's name and the day: the same comparison made again is the
    same drift event, and trains nothing twice.
    """
    config = state.config
    if not state.model_monitor.exists():
        raise PlatformError(
            "no monitoring configuration is applied; materialize model_monitor first"
        )
    target_file = state.predictions(day)
    if not target_file.exists():
        raise PlatformError(f"no predictions of {day}; materialize predictions for that day first")
    job_id = f"{day:%Y%m%d}-baseline-{baseline.name}"
    job, result = _measure(state, job_id, day, target_file, baseline)
    write_text(state.monitoring_result(job_id), result.model_dump_json(indent=2))
    event = drift_event_of(job, result, config)
    if event is None or not config.log_anomalies:
        return StartedMonitoringRun(job.name)
    return StartedMonitoringRun(job.name, _write_anomaly(event, state, publish))


def _write_anomaly(
    event: DriftEvent, state: StateDirectory, publish: Callable[[bytes], str]
) -> str | None:
    """Write an anomaly to the log and let the sink pass it on, by the filter Terraform deploys."""
    config = state.config
    entry = anomaly_log_entry(event, receive_time=datetime.now(UTC))
    body = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    with state.anomaly_log.open("a", encoding="utf-8") as log:
        log.write(body + "\n")
        log.flush()
        os.fsync(log.fileno())
    deployed = sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
    return publish(body.encode()) if lets_through(deployed, entry) else None


def monitor_drifted_window(
    state: StateDirectory, day: date, generator: GeneratorSettings, baseline: Baseline
) -> MonitoringJob:
    """Monitor a window of generated transactions that drifts, to test the trigger.

    The transactions are kept apart from the day's own, and the job, whose id is new each time, is
    in no list: it is no monitoring of the day, and only a message leads to it.
    """
    job_id = f"{_TEST_JOB}{uuid.uuid4().hex[:16]}"
    file = state.drifted_window(job_id)
    found: list[str] = []
    # A champion that learned from such drift has it in its baseline: for it the former is new.
    for drift_from in (day, None):
        settings = replace(generator, drift_from=drift_from, drift_share=_TEST_DRIFT_SHARE)
        with replace_file(file) as temporary:
            pq.write_table(generate_day(day, settings), temporary)
        job, result = _measure(state, job_id, day, file, baseline)
        if drift_event_of(job, result, state.config) is not None:
            write_text(state.monitoring_result(job_id), result.model_dump_json(indent=2))
            return job
        found += [
            f"{item.feature} {item.distance:.4f}" for item in result.features if item.distance
        ]
    file.unlink()
    raise PlatformError(
        f"no generated window drifts by the configured thresholds ({', '.join(found)}); lower "
        "drift_thresholds, or name a monitoring job with --job"
    )


def _measure(
    state: StateDirectory, job_id: str, day: date, target_file: Path, baseline: Baseline
) -> tuple[MonitoringJob, MonitoringResult]:
    config = state.config
    kinds = {name: item.kind for name, item in baseline.statistics.features.items()}
    target = scan_statistics([target_file], kinds, csv_format=config.csv)
    try:
        features = compare_features(baseline.statistics, target, config.drift_thresholds)
    except DriftStatisticsError as error:
        raise PlatformError(str(error)) from error
    project = config.project_number or config.project_id
    name = monitoring_job_name(project, config.location, config.model_monitor_id, job_id)
    result = MonitoringResult(
        job_name=name,
        day=day,
        baseline_name=f"training data of model {baseline.name}",
        baseline_rows=baseline.statistics.rows,
        target_rows=target.rows,
        features=features,
        method=METHOD,
    )
    job = MonitoringJob(name, config.model_monitor_id, job_id, JobState.SUCCEEDED, result=result)
    return job, result


def write_page(path: Path, page: str, asset: str) -> str:
    """Write a page of an asset, HTML; return the absolute path."""
    try:
        write_text(path, page)
    except OSError as error:
        raise PlatformError(
            f"the report {path} cannot be written ({error.strerror}); free space or mend the "
            f"rights of its directory, and materialize {asset} again"
        ) from error
    return str(path.absolute())


def read_monitoring_result(
    state: StateDirectory, model_monitor_id: str, monitoring_job_id: str
) -> MonitoringResult:
    """Read the result of a monitoring run."""
    job = read_monitoring_job(state, model_monitor_id, monitoring_job_id)
    if job.result is None:
        raise PlatformError(
            f"no result of {job.name} ({job.detail}); materialize monitoring_run of that day again"
        )
    return job.result


def read_monitoring_job(
    state: StateDirectory, model_monitor_id: str, monitoring_job_id: str
) -> MonitoringJob:
    """Read a job and what it found.

    It is missing where it has no stored result, and failed where that is damaged; a PlatformError
    tells that the result cannot be read for now.
    """
    config = state.config
    name = monitoring_job_name(
        config.project_id, config.location, model_monitor_id, monitoring_job_id
    )
    file = state.monitoring_result(monitoring_job_id)
    job_state, detail, result = JobState.SUCCEEDED, "", None
    try:
        result = MonitoringResult.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        job_state = JobState.MISSING
        detail = f"no job {monitoring_job_id} has a result in {file.parent}"
    except ValueError as error:
        job_state = JobState.FAILED
        fix = "materialize monitoring_run of that day again"
        detail = f"{file} is damaged ({str(error)[:200]}); {fix}"
    except OSError as error:
        raise PlatformError(
            f"{file} cannot be read ({error.strerror}); correct the rights of its directory"
        ) from error
    return MonitoringJob(name, model_monitor_id, monitoring_job_id, job_state, detail, result)


def list_monitoring_jobs(state: StateDirectory, since: datetime) -> list[ListedJob]:
    """List the jobs whose result was stored at or after a time, oldest first; each has ended."""
    monitor_id = state.config.model_monitor_id
    found = [
        ListedJob(monitor_id, file.stem, stored, has_ended=True)
        for file in _result_files(state)
        if (stored := datetime.fromtimestamp(file.stat().st_mtime, UTC)) >= since
    ]
    return sorted(found, key=lambda job: job.created)


def recent_monitoring_results(state: StateDirectory, limit: int) -> list[MonitoringResult]:
    """Return the results of the latest days, newest first."""
    newest = sorted(_result_files(state), reverse=True)[:limit]
    monitor_id = state.config.model_monitor_id
    return [read_monitoring_result(state, monitor_id, file.stem) for file in newest]


def _result_files(state: StateDirectory) -> list[Path]:
    files = state.monitoring_result("x").parent.glob("*.json")
    return [file for file in files if not file.name.startswith(_TEST_JOB)]
