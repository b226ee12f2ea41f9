"""The jobs of a model as runs in the process of a command, for which no daemon is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from transak_drift.cli.dagster_home import QUIET_RUN
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.defs import keys
from transak_drift.defs.metadata import failure_message
from transak_drift.defs.recorded_reports import recorded_window
from transak_drift.drift.drift_history import RecordedWindow


class CommandFailedError(RuntimeError):
    """What a command cannot go on without has failed."""


@dataclass(frozen=True, slots=True)
class MonitoredWindow:
    """What became of one window; the report is None where it failed or its job still runs."""

    window: Window
    run_id: str
    report: RecordedWindow | None = None
    message: str | None = None
    error: str = ""

    def summary(self) -> str:
        if self.error:
            return "failed"
        if self.report is None:
            return "its monitoring job runs"
        return ", ".join(feature.summary() for feature in self.report.result.features)

    def features(self) -> list[dict[str, Any]]:
        """Return what was found, as JSON-ready values."""
        return [
            found.model_dump(include={"feature", "metric", "distance", "threshold"})
            | {"drifted": found.drifted}
            for found in (self.report.result.features if self.report else ())
        ]


@dataclass(frozen=True)
class ModelJobs:
    """Runs the jobs of one model, each run with the tags."""

    instance: dg.DagsterInstance
    definitions: dg.Definitions
    config: MonitoringConfig
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> keys.ModelNames:
        return keys.ModelNames.of(self.config)

    def run(self, job: str) -> None:
        outcome = self._execute(self.names.name(job), {})
        if not outcome.success:
            reason = _failures(outcome).get("")
            raise CommandFailedError(f"job {job} failed, run {outcome.run_id}: {reason}")

    def monitor(self, windows: Sequence[Window]) -> list[MonitoredWindow]:
        """Monitor windows that follow on each other; one that fails stops no other."""
        bounds = {
            "dagster/asset_partition_range_start": windows[0].key,
            "dagster/asset_partition_range_end": windows[-1].key,
        }
        outcome = self._execute(keys.window_job(self.config), bounds)
        found: dict[str, dict[str, Any]] = {window.key: {} for window in windows}
        for event in outcome.get_asset_materialization_events():
            materialization = event.step_materialization_data.materialization
            of_window = found[materialization.partition or ""]
            if event.asset_key == self.names.asset(keys.DRIFT_REPORT):
                of_window["report"] = recorded_window(materialization)
            elif event.asset_key == self.names.asset(keys.MONITORING_RUN):
                message = materialization.metadata.get(keys.MESSAGE_METADATA)
                of_window["message"] = None if message is None else str(message.value)
        errors = {} if outcome.success else _failures(outcome)
        whole = errors.get("", "")
        return [
            MonitoredWindow(
                window, outcome.run_id, error=errors.get(window.key, whole), **found[window.key]
            )
            for window in windows
        ]

    def _execute(self, job: str, tags: Mapping[str, str]) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            run_config=QUIET_RUN,
            instance=self.instance,
            tags={keys.MODEL_TAG: self.config.model_name, **self.tags, **tags},
            raise_on_error=False,
        )


def _failures(outcome: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return why a run failed, by partition, or by an empty text where it failed as a whole."""
    for event in outcome.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.metadata:
            return {key: str(reason.value) for key, reason in failure.metadata.items()}
        if (message := failure_message(event)) is not None:
            return {"": message.strip()}
    return {"": f"run {outcome.run_id} failed; see its log in the Dagster UI"}
