"""The local platform and its embedded Pub/Sub server as Dagster resources."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.defs.platform_resource import PlatformResource, TriggerQueueResource
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.atomic_file import write_page
from transak_drift.settings import Settings

if TYPE_CHECKING:
    from transak_drift.local.embedded_pubsub import EmbeddedPubSub
    from transak_drift.local.platform import LocalPlatform
    from transak_drift.local.state_directory import StateDirectory
    from transak_drift.pubsub.trigger_queue import TriggerQueue

# This process keeps its shares in the embedded servers until it ends.
_shares: dict[Path, EmbeddedPubSub] = {}
_shares_lock = threading.Lock()


class LocalTriggerQueueResource(TriggerQueueResource):
    """The embedded Pub/Sub server, or the emulator that PUBSUB_EMULATOR_HOST names."""

    state_directory: str = Field(description="Where the embedded server keeps its messages.")

    def endpoint(self) -> str:
        """Return the server's address; the embedded server is started when none listens."""
        if named := super().endpoint():
            return named
        from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub

        directory = Path(self.state_directory)
        with _shares_lock:
            share = ensure_embedded_pubsub(directory)
            former = _shares.get(directory)
            _shares[directory] = share
        if former is not None:
            former.close()
        return share.endpoint

    def prepare(self, queue: TriggerQueue) -> None:
        """Create topics and subscriptions, which Terraform creates on gcp."""
        queue.ensure_exists()


class LocalPlatformResource(PlatformResource):
    """Transactions, monitoring and training on this machine."""

    trigger_queue: LocalTriggerQueueResource
    state_directory: str = Field(description="Where the platform keeps its data.")
    seed: int = Field(description="Seed of the generated transactions.")
    rows_per_day: int = Field(description="Generated transactions a day.")
    drift_from: str | None = Field(
        default=None, description="First day (YYYY-MM-DD) on which generated transactions drift."
    )
    drift_share: float = Field(default=0.6, description="Share of the transactions that drifts.")

    def open(self, config: MonitoringConfig) -> LocalPlatform:
        """Return the platform; it is the same for each model."""
        from transak_drift.local.platform import LocalPlatform
        from transak_drift.local.transaction_generator import GeneratorSettings

        return LocalPlatform(
            root=Path(self.state_directory),
            generator=GeneratorSettings(
                seed=self.seed,
                rows_per_day=self.rows_per_day,
                drift_from=date.fromisoformat(self.drift_from) if self.drift_from else None,
                drift_share=self.drift_share,
            ),
            publish=self._publish,
        )

    def store_report(self, config: MonitoringConfig, result: MonitoringResult, page: str) -> str:
        """Keep the report beside the run's result."""
        *_, job_id = parse_monitoring_job_name(result.job_name)
        return write_page(self._state(config).monitoring_report(job_id), page, "drift_report")

    def store_history(self, config: MonitoringConfig, page: str) -> str:
        """Keep the history in the directory of the reports."""
        return write_page(self._state(config).drift_history, page, "drift_history")

    def store_model(self, config: MonitoringConfig, version: str, page: str) -> str:
        """Keep a version's page beside its model."""
        return write_page(self._state(config).model_page(version), page, "trained_model")

    def _state(self, config: MonitoringConfig) -> StateDirectory:
        from transak_drift.local.state_directory import StateDirectory

        return StateDirectory(Path(self.state_directory), config)

    def _publish(self, config: MonitoringConfig, body: bytes) -> str:
        with self.trigger_queue.open(config) as queue:
            return queue.publish(body)


def local_trigger_queue_resource(settings: Settings) -> LocalTriggerQueueResource:
    """Return the trigger queue of the local platform."""
    return LocalTriggerQueueResource(state_directory=str(settings.home.absolute() / "pubsub"))


def local_platform_resource(settings: Settings) -> LocalPlatformResource:
    """Return the local platform."""
    return LocalPlatformResource(
        heartbeat_seconds=settings.heartbeat_seconds,
        trigger_queue=local_trigger_queue_resource(settings),
        state_directory=str(settings.home.absolute()),
        seed=settings.seed,
        rows_per_day=settings.rows_per_day,
        drift_from=settings.drift_from.isoformat() if settings.drift_from else None,
        drift_share=settings.drift_share,
    )
