"""Where the local platform keeps its data: the one place that knows the paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window


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

    def transactions(self, window: Window) -> Path:
        return self.model / "transactions" / _directory(window) / "transactions.parquet"

    def window_of(self, transactions: Path) -> Window:
        """Return the window that a file of transactions is of."""
        return self.config.windows.parse(transactions.parent.name.partition("=")[2])

    def predictions(self, window: Window) -> Path:
        return self.model / "predictions" / _directory(window) / "predictions.parquet"

    def drifted_window(self, job_id: str) -> Path:
        """Generated transactions of a monitoring job that tests the trigger."""
        return self.model / "drifted_windows" / f"{job_id}.parquet"

    def baseline(self, version: str) -> Path:
        """Statistics of the data that a version learned from; they go with the registry."""
        return self.registry / f"{version}.statistics"

    def baseline_predictions(self, version: str) -> Path:
        """Statistics of what a version predicts for the data that it learned from."""
        return self.registry / f"{version}.predictions"

    def monitoring_result(self, job_id: str) -> Path:
        return self.model / "monitoring_jobs" / f"{job_id}.json"

    def monitoring_report(self, job_id: str) -> Path:
        return self.model / "monitoring_jobs" / f"{job_id}.html"

    @property
    def drift_history(self) -> Path:
        """Lies beside the reports, as it links to them."""
        return self.model / "monitoring_jobs" / "drift_history.html"


def _directory(window: Window) -> str:
    return f"{'date' if window.length == 'day' else window.length}={window.key}"
