"""What a platform does for the assets: the same calls for the local platform and for gcp."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.drift.monitoring_job import ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.training.labels import LabelCounts
from transak_drift.training.promotion import Comparison


class PlatformError(RuntimeError):
    """The platform cannot do what was asked; the message says what to do about it."""


class TemporaryPlatformError(PlatformError):
    """The platform did not answer in time; the same may work later."""


class NoDataError(PlatformError):
    """A window has no data: they are late, or there are none."""


class MonitoringRunFailedError(PlatformError):
    """A monitoring run ended without a result; the message says why."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows at a path, gs:// or bq:// address; their number is None where it would cost a scan."""

    uri: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class PredictedDataset:
    """A window's transactions with the prediction in each row, and the rows by category.

    The version is None where no model could be trained.
    """

    dataset: Dataset
    model_version: str | None
    category_counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """The model that predicts at present; without a version none could be trained.

    `created` says that this call made the first version, `trained_until` is the end (exclusive) of
    the data that it learned from, where it is known.
    """

    version: str | None
    created: bool
    trained_until: datetime | None
    detail: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of a ModelMonitor that differed from the configuration."""

    path: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class AppliedModelMonitor:
    """The ModelMonitor as applied, and the settings that differed and were written."""

    resource_name: str
    created: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class StartedMonitoringRun:
    """A ModelMonitoringJob that was started, and the drift message that this call published.

    Without a name none was started, as the window is one without rows.
    """

    job_name: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What a training is asked for; by a person, without a drift event.

    `window_end` is the end (exclusive) of the window that drifted, `run_id` the Dagster run.
    """

    drift_event_key: str | None
    window_end: datetime
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a training ended.

    Args:
        version: the challenger's.
        champion_before: the version that predicted before, or None.
        champion_after: the version that predicts from now on.
        promoted: whether the challenger became the champion.
        adopted: whether the drift event had been trained before and nothing was trained again.
        reason: why it was promoted or not, for people.
        metrics: the challenger's evaluation on held-out recent data.
        champion_metrics: the former champion's evaluation on the same data.
        training_rows: rows it learned from, or None where the platform does not say.
        training_days: first and last day of the data it learned from.
        trained_until: end (exclusive) of those data, UTC.
        console_url: where a person sees the training, or None.
        warnings: what did not work though the training did, for people.
        comparison: challenger and champion on held-out rows, where the training tells it.
    """

    version: str
    champion_before: str | None
    champion_after: str
    promoted: bool
    adopted: bool
    reason: str
    metrics: Mapping[str, float]
    champion_metrics: Mapping[str, float]
    training_rows: int | None
    training_days: tuple[date, date]
    trained_until: datetime
    console_url: str | None = None
    warnings: tuple[str, ...] = ()
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class RestorableVersion:
    """A version of the model that could predict again, and the one that predicts at present.

    Its training rows are None where the platform does not say; the times are the ends (exclusive)
    of the data that the two learned from, UTC.
    """

    version: str
    training_days: tuple[date, date]
    training_rows: int | None
    trained_until: datetime
    champion: str
    champion_trained_until: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is of a monitored model, for people; rows are newest first and bounded."""

    model_monitor: str | None
    model_versions: Sequence[Mapping[str, object]]
    monitoring_results: Sequence[Mapping[str, object]]


class MonitoringJobs(Protocol):
    """What the trigger asks a platform for: our monitors, their jobs, and what a job found.

    Each method raises `PlatformError` where the platform does not answer, or refuses to.
    """

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        """Find the monitors whose target is the configured model, whoever made them."""
        ...

    def list_monitoring_jobs(
        self, config: MonitoringConfig, since: datetime
    ) -> Sequence[ListedJob]:
        """List the jobs of all own monitors that were created at or after a time, oldest first."""
        ...

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        """Read a job of an own monitor and, where it has succeeded, what it found.

        Only the model's own project and location are asked; a job that does not exist is `missing`.
        """
        ...


class DriftPlatform(MonitoringJobs, Protocol):
    """Transactions, predictions, monitoring and training of one platform."""

    def land_transactions(self, config: MonitoringConfig, window: Window) -> Dataset:
        """Make the window's transactions available; the same window gives the same rows."""
        ...

    def ensure_registered_model(self, config: MonitoringConfig) -> RegisteredModel:
        """Find the model that predicts; the local platform trains the first version."""
        ...

    def apply_model_monitor(self, config: MonitoringConfig) -> AppliedModelMonitor:
        """Create or update the ModelMonitor; without a difference nothing is written."""
        ...

    def predict(self, config: MonitoringConfig, window: Window) -> PredictedDataset:
        """Predict the category of each of the window's transactions."""
        ...

    def start_monitoring_run(
        self, config: MonitoringConfig, window: Window
    ) -> StartedMonitoringRun:
        """Start the comparison of the window's transactions with the baseline."""
        ...

    def monitoring_result(self, config: MonitoringConfig, job_name: str) -> MonitoringResult | None:
        """Return a run's result, or None while it is unfinished."""
        ...

    def label_state(self, config: MonitoringConfig, window: Window) -> str:
        """Return a text that is another once a window's labels may be; it costs no scan."""
        ...

    def count_labels(self, config: MonitoringConfig, window: Window) -> LabelCounts:
        """Count the labels of a window's rows as they are now, and name the champion's classes.

        A `PlatformError` tells why they cannot be counted.
        """
        ...

    def train(
        self,
        config: MonitoringConfig,
        request: TrainingRequest,
        progress: Callable[[str], None],
    ) -> TrainingResult:
        """Train once for a drift event; asked again, adopt what was trained."""
        ...

    def find_restorable(self, config: MonitoringConfig, version: str) -> RestorableVersion:
        """Find a version and its training data, without changing anything.

        A `PlatformError` says that there is no such version, or what of it is missing or damaged.
        """
        ...

    def restore(self, config: MonitoringConfig, found: RestorableVersion) -> None:
        """Let a version predict again; baseline and monitor follow. Repeated, it goes on.

        A `PlatformError` says that a training or another rollback came between.
        """
        ...

    def overview(self, config: MonitoringConfig) -> Overview:
        """Return what there is, without changing anything."""
        ...
