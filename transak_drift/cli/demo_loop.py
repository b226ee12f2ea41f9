"""The steps of the demo, each of which checks that what it is about really happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import dagster as dg

from transak_drift.cli.dagster_home import make_dagster_home, write_workspace
from transak_drift.cli.dagster_services import dagster_daemon
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_EVENT,
    DRIFT_EVENT_TAG,
    JOB_NAME_METADATA,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.drift.drift_event import drift_event_key
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.settings import load_settings

RETRAIN_DEADLINE = timedelta(seconds=150)
_POLL_SECONDS = 0.5

# The run's log goes to the Dagster instance all the same.
_QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Found = TypeVar("Found")


class DemoFailedError(RuntimeError):
    """A step did not happen as it should."""


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One step.

    Args:
        title: what it is about.
        run: does it and returns what happened, in a few words.
    """

    title: str
    run: Callable[[], str]


@dataclass(slots=True)
class DemoReport:
    """What happened.

    Args:
        results: monitoring results by day.
        drift_day: the first day with injected drift.
        message_id: id of the drift message.
        retrain_run_id: the Dagster run that retrained.
        drift_event: key of the drift event.
        version_before: champion before the drift.
        version_after: champion after the retraining.
        training: metadata of the trained model.
    """

    drift_day: date
    results: dict[date, MonitoringResult] = field(default_factory=dict)
    versions: dict[date, str] = field(default_factory=dict)
    message_id: str = ""
    retrain_run_id: str = ""
    drift_event: str = ""
    version_before: str = ""
    version_after: str = ""
    training: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a day for a table."""
        rows = []
        for day, result in self.results.items():
            row: dict[str, Any] = {"day": str(day), "model": self.versions[day]}
            for feature in result.features:
                row[f"{feature.feature}\n(limit {feature.threshold:g})"] = (
                    "-" if feature.distance is None else f"{feature.distance:.4f}"
                )
            row["verdict"] = "DRIFT" if result.drifted else "ok"
            row["message"] = self.message_id if day == self.drift_day else ""
            row["retrain\nrun"] = self.retrain_run_id[:8] if day == self.drift_day else ""
            rows.append(row)
        return rows

    def sentences(self) -> list[str]:
        """Return what happened, for people."""
        drift = self.results[self.drift_day]
        found = ", ".join(f"{f.feature} {f.distance:.4f} > {f.threshold:g}" for f in drift.drifted)
        recovered = [day for day in self.results if day > self.drift_day]
        after = "; ".join(
            f"{day}: "
            + ", ".join(f"{f.feature} {f.distance:.4f}" for f in self.results[day].features)
            for day in recovered
        )
        return [
            f"{self.drift_day} drifted: {found}",
            f"drift message {self.message_id} (drift event {self.drift_event})",
            f"retrain run {self.retrain_run_id}: model version {self.version_before} -> "
            f"{self.version_after} ({self.training.get('reason', '')})",
            f"below the threshold afterwards: {after}",
        ]

    def as_document(self) -> dict[str, Any]:
        """Return the report for scripts."""
        return {
            "drift_day": str(self.drift_day),
            "drift_event": self.drift_event,
            "message_id": self.message_id,
            "retrain_run_id": self.retrain_run_id,
            "model_version_before": self.version_before,
            "model_version_after": self.version_after,
            "promotion_reason": self.training.get("reason"),
            "days": [
                {
                    "day": str(day),
                    "model_version": self.versions[day],
                    "drifted": bool(result.drifted),
                    "features": [
                        {
                            "feature": f.feature,
                            "metric": f.metric,
                            "distance": f.distance,
                            "threshold": f.threshold,
                            "drifted": f.drifted,
                        }
                        for f in result.features
                    ],
                }
                for day, result in self.results.items()
            ],
        }


class DemoLoop:
    """Runs the steps on a Dagster instance of their own, with a real daemon.

    Args:
        home: an empty directory.
        days: the days to monitor, in order.
        drift_day: the day from which the transactions drift.
    """

    def __init__(self, home: Path, days: list[date], drift_day: date) -> None:
        self._home = home
        self._days = days
        self._report = DemoReport(drift_day=drift_day)
        self._settings = load_settings()
        self._config = self._settings.load_configs()[0]
        self._names = ModelNames.of(self._config)

    def __enter__(self) -> Self:
        dagster_home = make_dagster_home(self._home / "dagster_home")
        self._instance = dg.DagsterInstance.from_config(str(dagster_home))
        self._definitions = build_definitions(self._settings, [self._config])
        self._platform = platform_resource(self._settings).open(self._config)
        self._daemon = dagster_daemon(
            dagster_home, write_workspace(self._home), self._home / "daemon.log"
        )
        self._services = self._daemon.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._daemon.__exit__(kind, error, traceback)
        self._instance.dispose()

    def steps(self) -> Iterator[DemoStep]:
        """Yield the steps in order; each must be run before the next is asked for."""
        yield DemoStep("train the first model, apply the monitoring configuration", self._prepare)
        for day in self._days:
            if day < self._report.drift_day:
                yield DemoStep(f"{day} quiet day", lambda day=day: self._quiet_day(day))
            elif day == self._report.drift_day:
                yield DemoStep(f"{day} drift is injected", lambda day=day: self._drift_day(day))
                yield DemoStep("drift event in the event log", self._await_record)
                yield DemoStep("sensor and training", self._await_retraining)
            else:
                yield DemoStep(f"{day} after the training", lambda day=day: self._quiet_day(day))

    def report(self) -> DemoReport:
        """Return what happened."""
        return self._report

    def _prepare(self) -> str:
        self._run_job(self._names.name(PREPARE_JOB))
        model = self._platform.ensure_registered_model(self._config)
        if model.version is None or model.created:
            raise DemoFailedError("the first model was not registered by the run")
        applied = self._platform.apply_model_monitor(self._config)
        if applied.created or applied.changes:
            raise DemoFailedError("the configuration was not applied by the run")
        self._report.version_before = model.version
        return f"version {model.version}, monitor {self._config.model_monitor_id}"

    def _quiet_day(self, day: date) -> str:
        result = self._monitor(day)
        if result.drifted:
            raise DemoFailedError(f"{day} drifted: {_distances(result)}")
        return _distances(result)

    def _drift_day(self, day: date) -> str:
        result = self._monitor(day)
        if not result.drifted:
            raise DemoFailedError(f"{day} did not drift: {_distances(result)}")
        metadata = self._newest_metadata(self._names.asset(MONITORING_RUN), str(day))
        message = metadata.get("drift message")
        if message is None:
            raise DemoFailedError(f"{day} drifted, but no message was published")
        self._report.message_id = str(message)
        monitor, job = result.job_name.split("/")[-3::2]
        self._report.drift_event = drift_event_key(monitor, job)
        return f"{_distances(result)}, message {message}"

    def _await_retraining(self) -> str:
        tags = {DRIFT_EVENT_TAG: self._report.drift_event}
        run = self._wait_for(
            "a finished retrain run",
            lambda: next(
                (
                    run
                    for run in self._instance.get_runs(dg.RunsFilter(tags=tags))
                    if run.is_finished
                ),
                None,
            ),
        )
        self._report.retrain_run_id = run.run_id
        if run.status != dg.DagsterRunStatus.SUCCESS:
            raise DemoFailedError(f"retrain run {run.run_id} ended as {run.status.value}")
        count = self._instance.get_runs_count(dg.RunsFilter(job_name=self._names.name(RETRAIN_JOB)))
        if count != 1:
            raise DemoFailedError(f"{count} retrain runs for one drift event")
        self._report.training = self._newest_metadata(self._names.asset(TRAINED_MODEL), None)
        self._report.version_after = str(self._report.training["champion after"])
        if self._report.version_after == self._report.version_before:
            raise DemoFailedError(f"not promoted: {self._report.training['reason']}")
        return (
            f"run {run.run_id[:8]}, version {self._report.version_before} -> "
            f"{self._report.version_after}"
        )

    def _await_record(self) -> str:
        def recorded() -> bool:
            found = read_records(self._instance, self._names.asset(DRIFT_EVENT))
            records = [record for _, part in found for record in part]
            return any(item.key == self._report.drift_event and item.messages for item in records)

        self._wait_for("the drift event's record", recorded)
        return f"recorded, message {self._report.message_id} acknowledged in the same tick"

    def _monitor(self, day: date) -> MonitoringResult:
        self._run_job(self._names.name(DAILY_MONITORING_JOB), str(day))
        job_name = self._newest_metadata(self._names.asset(MONITORING_RUN), str(day))[
            JOB_NAME_METADATA
        ]
        result = self._platform.monitoring_result(self._config, str(job_name))
        if result is None:
            raise DemoFailedError(f"{day}: no result of {job_name}")
        self._report.results[day] = result
        model = self._platform.ensure_registered_model(self._config)
        self._report.versions[day] = model.version or "none"
        return result

    def _run_job(self, name: str, partition_key: str | None = None) -> None:
        job = self._definitions.resolve_job_def(name)
        outcome = job.execute_in_process(
            run_config=_QUIET_RUN,
            instance=self._instance,
            partition_key=partition_key,
            raise_on_error=False,
        )
        if not outcome.success:
            raise DemoFailedError(f"job {name} failed, run {outcome.run_id}")

    def _newest_metadata(self, key: dg.AssetKey, partition: str | None) -> dict[str, Any]:
        records = self._instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=key, asset_partitions=None if partition is None else [partition]
            ),
            limit=1,
        ).records
        materialization = records[0].asset_materialization if records else None
        if materialization is None:
            raise DemoFailedError(f"{key.to_user_string()} was not materialized")
        return {name: value.value for name, value in materialization.metadata.items()}

    def _wait_for(self, what: str, look: Callable[[], Found | None]) -> Found:
        deadline = datetime.now() + RETRAIN_DEADLINE
        while datetime.now() < deadline:
            found = look()
            if found:
                return found
            ended = self._services.ended()
            if ended is not None:
                raise DemoFailedError(f"{ended}; see {self._home / 'daemon.log'}")
            time.sleep(_POLL_SECONDS)
        raise DemoFailedError(f"no sign of {what} in {RETRAIN_DEADLINE.seconds} s")


def _distances(result: MonitoringResult) -> str:
    return ", ".join(
        f"{f.feature} {'-' if f.distance is None else format(f.distance, '.4f')}"
        for f in result.features
    )
