"""Monitoring runs of the local platform: a day's transactions against the stored baseline."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq

from transak_drift.config.resource_names import monitoring_job_name, parse_monitoring_job_name
from transak_drift.drift.drift_statistics import DriftStatisticsError, compare_features
from transak_drift.drift.feature_statistics import DatasetStatistics, FeatureKind
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.log_router import write_anomaly
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.transaction_generator import (
    DriftInjection,
    GeneratorSettings,
    generate_day,
)
from transak_drift.platform import PlatformError, StartedMonitoringRun
from transak_drift.trigger.assessment import drift_event_of

_TEST_JOB = "test-of-the-trigger-"
_TEST_DRIFT_SHARE = 0.8


def run_monitoring(
    state: StateDirectory,
    day: date,
    baseline_name: str,
    baseline: DatasetStatistics,
    publish: Callable[[bytes], str],
) -> StartedMonitoringRun:
    """Compare a day with a baseline, and write an anomaly where a feature drifted.

    The job's id is made of the day and the baseline's name: the same comparison made again is
    the same drift event, and trains nothing twice.

    Args:
        state: the monitored model's directory.
        day: the day, whose predictions are there.
        baseline_name: name of the baseline: the model version whose training data it is.
        baseline: its statistics.
        publish: publishes a body to the trigger topic and returns the message's id.

    Returns:
        The run's name, and the id of the message where there was drift.

    Raises:
        PlatformError: the day or the baseline is missing, or they cannot be compared.
    """
    config = state.config
    if not state.model_monitor.exists():
        raise PlatformError(
            "no monitoring configuration is applied; materialize model_monitor first"
        )
    target_file = state.predictions(day)
    if not target_file.exists():
        raise PlatformError(f"no predictions of {day}; materialize predictions for that day first")
    job_id = f"{day:%Y%m%d}-baseline-{baseline_name}"
    job, result = _measure(state, job_id, day, target_file, baseline_name, baseline)
    _store_result(state, job_id, result)
    event = drift_event_of(job, result, config)
    if event is None or not config.log_anomalies:
        return StartedMonitoringRun(job.name)
    return StartedMonitoringRun(job.name, write_anomaly(event, state, publish))


def monitor_drifted_window(
    state: StateDirectory,
    day: date,
    generator: GeneratorSettings,
    baseline_name: str,
    baseline: DatasetStatistics,
) -> MonitoringJob:
    """Monitor a window of generated transactions that drifts, to test the trigger.

    The transactions are kept apart from the day's own, and the job is in no list: it is no
    monitoring of the day, and only a message leads to it.

    Args:
        state: the monitored model's directory.
        day: the window.
        generator: what the transactions are like otherwise.
        baseline_name: name of the baseline.
        baseline: its statistics.

    Returns:
        The job, with an id of its own each time and its result stored.

    Raises:
        PlatformError: nothing that can be generated drifts from the baseline.
    """
    job_id = f"{_TEST_JOB}{uuid.uuid4().hex[:16]}"
    file = state.drifted_window(job_id)
    found: list[str] = []
    # A champion that learned from such drift has it in its baseline: for it the former is new.
    for injections in ((DriftInjection(day, day, _TEST_DRIFT_SHARE),), ()):
        table = generate_day(day, replace(generator, injections=injections))
        with replace_file(file) as temporary:
            pq.write_table(table, temporary)
        job, result = _measure(state, job_id, day, file, baseline_name, baseline)
        if drift_event_of(job, result, state.config) is not None:
            _store_result(state, job_id, result)
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
    state: StateDirectory,
    job_id: str,
    day: date,
    target_file: Path,
    baseline_name: str,
    baseline: DatasetStatistics,
) -> tuple[MonitoringJob, MonitoringResult]:
    config = state.config
    try:
        target = scan_statistics([target_file], _kinds(baseline), csv_format=config.csv)
        features = compare_features(baseline, target, config.drift_thresholds)
    except (DatasetError, DriftStatisticsError) as error:
        raise PlatformError(str(error)) from error
    name = monitoring_job_name(
        config.project_number or config.project_id,
        config.location,
        config.model_monitor_id,
        job_id,
    )
    result = MonitoringResult(
        job_name=name,
        day=day,
        baseline_name=f"training data of model {baseline_name}",
        baseline_rows=baseline.rows,
        target_rows=target.rows,
        features=features,
    )
    job = MonitoringJob(name, config.model_monitor_id, job_id, JobState.SUCCEEDED, result=result)
    return job, result


def _store_result(state: StateDirectory, job_id: str, result: MonitoringResult) -> None:
    with replace_file(state.monitoring_result(job_id)) as temporary:
        temporary.write_text(result.model_dump_json(indent=2), encoding="utf-8")


def _result_files(state: StateDirectory) -> list[Path]:
    files = state.monitoring_result("x").parent.glob("*.json")
    return [file for file in files if not file.name.startswith(_TEST_JOB)]


def write_monitoring_report(state: StateDirectory, result: MonitoringResult, page: str) -> Path:
    """Write the report of a monitoring run beside its result.

    Args:
        state: the monitored model's directory.
        result: the run's result.
        page: the report, an HTML document.

    Returns:
        The file, absolute; replaced where it exists.

    Raises:
        PlatformError: it cannot be written.
    """
    path = state.monitoring_report(parse_monitoring_job_name(result.job_name)[3]).absolute()
    return _write_page(path, page, "drift_report")


def write_drift_history(state: StateDirectory, page: str) -> Path:
    """Write the drift history of the model in the directory of its reports.

    Args:
        state: the monitored model's directory.
        page: the history, an HTML document.

    Returns:
        The file, absolute; replaced where it exists.

    Raises:
        PlatformError: it cannot be written.
    """
    return _write_page(state.drift_history.absolute(), page, "drift_history")


def _write_page(path: Path, page: str, asset: str) -> Path:
    try:
        with replace_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise PlatformError(
            f"the report {path} cannot be written ({error.strerror}); free space or mend the "
            f"rights of its directory, and materialize {asset} again"
        ) from error
    return path


def read_monitoring_result(state: StateDirectory, job_name: str) -> MonitoringResult:
    """Read the result of a monitoring run.

    Args:
        state: the monitored model's directory.
        job_name: resource name of the run.

    Returns:
        The result.

    Raises:
        PlatformError: there is no such run, or its file is damaged.
    """
    try:
        job_id = parse_monitoring_job_name(job_name)[3]
        text = state.monitoring_result(job_id).read_text(encoding="utf-8")
        return MonitoringResult.model_validate_json(text)
    except (OSError, ValueError) as error:
        raise PlatformError(
            f"no result of {job_name} ({error}); materialize monitoring_run of that day again"
        ) from error


def list_monitoring_jobs(state: StateDirectory, since: datetime) -> list[ListedJob]:
    """List the jobs whose result was stored at or after a time, oldest first.

    Args:
        state: the monitored model's directory.
        since: UTC.

    Returns:
        The jobs; each has ended.
    """
    monitor_id = state.config.model_monitor_id
    found = [
        ListedJob(monitor_id, file.stem, stored, has_ended=True)
        for file in _result_files(state)
        if (stored := datetime.fromtimestamp(file.stat().st_mtime, UTC)) >= since
    ]
    return sorted(found, key=lambda job: job.created)


def read_monitoring_job(
    state: StateDirectory, model_monitor_id: str, monitoring_job_id: str
) -> MonitoringJob:
    """Read a job and what it found.

    Args:
        state: the monitored model's directory.
        model_monitor_id: id of the monitor.
        monitoring_job_id: id of the job; it names no path outside of the directory.

    Returns:
        The job; of one without a stored result, in state `missing`, of one whose result is
        damaged, in state `failed`.

    Raises:
        PlatformError: the result cannot be read for now.
    """
    config = state.config
    name = monitoring_job_name(
        config.project_id, config.location, model_monitor_id, monitoring_job_id
    )

    def job(job_state: JobState, detail: str) -> MonitoringJob:
        return MonitoringJob(name, model_monitor_id, monitoring_job_id, job_state, detail)

    file = state.monitoring_result(monitoring_job_id)
    try:
        text = file.read_text(encoding="utf-8")
        result = MonitoringResult.model_validate_json(text)
    except FileNotFoundError:
        return job(JobState.MISSING, f"no job {monitoring_job_id} has a result in {file.parent}")
    except ValueError as error:
        fix = "materialize monitoring_run of that day again"
        return job(JobState.FAILED, f"{file} is damaged ({str(error)[:200]}); {fix}")
    except OSError as error:
        raise PlatformError(
            f"{file} cannot be read ({error.strerror}); correct the rights of its directory"
        ) from error
    return MonitoringJob(
        name, model_monitor_id, monitoring_job_id, JobState.SUCCEEDED, result=result
    )


def recent_monitoring_results(state: StateDirectory, limit: int) -> list[MonitoringResult]:
    """Return the results of the latest days.

    Args:
        state: the monitored model's directory.
        limit: at most so many.

    Returns:
        The results, newest day first.
    """
    files = sorted(_result_files(state), reverse=True)[:limit]
    return [MonitoringResult.model_validate_json(f.read_text(encoding="utf-8")) for f in files]


def _kinds(baseline: DatasetStatistics) -> dict[str, FeatureKind | None]:
    return {feature: statistics.kind for feature, statistics in baseline.features.items()}
