"""Monitoring runs of the local platform: a day's transactions against the stored baseline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from transak_drift.config.resource_names import monitoring_job_name, parse_monitoring_job_name
from transak_drift.drift.drift_statistics import DriftStatisticsError
from transak_drift.drift.feature_comparison import compare_features
from transak_drift.drift.feature_statistics import DatasetStatistics, FeatureKind
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.log_router import write_anomaly
from transak_drift.local.state_directory import StateDirectory
from transak_drift.platform import PlatformError, StartedMonitoringRun
from transak_drift.trigger.assessment import drift_event_of


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
    try:
        target = scan_statistics([target_file], _kinds(baseline), csv_format=config.csv)
        features = compare_features(baseline, target, config.drift_thresholds)
    except (DatasetError, DriftStatisticsError) as error:
        raise PlatformError(str(error)) from error
    job_id = f"{day:%Y%m%d}-baseline-{baseline_name}"
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
    with replace_file(state.monitoring_result(job_id)) as temporary:
        temporary.write_text(result.model_dump_json(indent=2), encoding="utf-8")
    job = MonitoringJob(name, config.model_monitor_id, job_id, JobState.SUCCEEDED, result=result)
    event = drift_event_of(job, result, config)
    if event is None or not config.log_anomalies:
        return StartedMonitoringRun(name)
    return StartedMonitoringRun(name, write_anomaly(event, state, publish))


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
        for file in state.monitoring_result("x").parent.glob("*.json")
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
    files = sorted(state.monitoring_result("x").parent.glob("*.json"), reverse=True)[:limit]
    return [MonitoringResult.model_validate_json(f.read_text(encoding="utf-8")) for f in files]


def _kinds(baseline: DatasetStatistics) -> dict[str, FeatureKind | None]:
    return {feature: statistics.kind for feature, statistics in baseline.features.items()}
