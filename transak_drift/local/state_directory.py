"""Where the local platform keeps its data: the one place that knows the paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowCalendar, WindowLength

_DIRECTORIES: dict[WindowLength, str] = {"day": "date", "week": "week", "month": "month"}


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Paths of one monitored model, whose data lie apart from other models' data."""

    root: Path
    config: MonitoringConfig

    @property
    def model(self) -> Path:
        return self.root / "models" / self.config.model_monitor_id

    @property
    def registry(self) -> Path:
        return self.model / "registry"

    @property
    def model_monitor(self) -> Path:
        return self.model / "model_monitor.json"

    @property
    def anomaly_log(self) -> Path:
        """The log of anomalies, one LogEntry a line: what Cloud Logging is on gcp."""
        return self.model / "model_monitoring_anomaly.jsonl"

    @property
    def _windows(self) -> Path:
        """Where data by window lie: apart for each division of time, since keys may look alike."""
        calendar = self.config.windows
        if calendar == WindowCalendar():
            return self.model
        return self.model / f"{calendar.length}s_of_{calendar.time_zone.replace('/', '_')}"

    def transactions(self, window: Window) -> Path:
        return self._windows / "transactions" / _directory(window) / "transactions.parquet"

    def window_of(self, transactions: Path) -> Window:
        """Return the window that a file of transactions is of."""
        name, _, key = transactions.parent.name.partition("=")
        return next(
            WindowCalendar(length).parse(key)
            for length, directory in _DIRECTORIES.items()
            if directory == name
        )

    def predictions(self, window: Window) -> Path:
        return self._windows / "predictions" / _directory(window) / "predictions.parquet"

    def drifted_window(self, job_id: str) -> Path:
        """Generated transactions of a monitoring job that tests the trigger."""
        return self.model / "drifted_windows" / f"{job_id}.parquet"

    def baseline(self, version: str) -> Path:
        """Statistics of the data that a version learned from; they go with the registry."""
        return self.registry / f"{version}.statistics"

    def baseline_predictions(self, version: str) -> Path:
        """Statistics of what a version predicts for the data that it learned from."""
        return self.registry / f"{version}.predictions"

    def model_page(self, version: str) -> Path:
        return self.registry / f"{version}.html"

    def monitoring_result(self, job_id: str) -> Path:
        return self._windows / "monitoring_jobs" / f"{job_id}.json"

    def monitoring_report(self, job_id: str) -> Path:
        return self._windows / "monitoring_jobs" / f"{job_id}.html"

    @property
    def drift_history(self) -> Path:
        """Lies beside the reports, as it links to them."""
        return self._windows / "monitoring_jobs" / "drift_history.html"


def _directory(window: Window) -> str:
    return f"{_DIRECTORIES[window.length]}={window.key}"
