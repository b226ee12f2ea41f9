"""The Dagster resources that both platforms have: `platform`, and the `trigger_queue`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.run_health import heartbeat
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import DriftPlatform

if TYPE_CHECKING:
    from transak_drift.pubsub.connection import PubSubClients
    from transak_drift.pubsub.trigger_queue import TriggerQueue

EMULATOR_VARIABLE = "PUBSUB_EMULATOR_HOST"


class PlatformResource(dg.ConfigurableResource, ABC):
    """A platform; assets know no more of it than `DriftPlatform` and where its pages are.

    Every run uses it, and has a heartbeat for as long. A page is an HTML document that replaces the
    one before; a person opens it at an absolute path or an https address, None where the
    configuration names no place for it. A `PlatformError` tells why it cannot be written.
    """

    heartbeat_seconds: float = Field(default=20.0, description="Between two heartbeats of a run.")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Self]:
        # A sensor uses it without a run.
        if context.instance is None or context.run is None:
            yield self
            return
        with heartbeat(context.instance, context.run.run_id, self.heartbeat_seconds):
            yield self

    @abstractmethod
    def open(self, config: MonitoringConfig) -> DriftPlatform:
        """Return the platform, ready for use; on gcp the model names project and region."""

    @abstractmethod
    def store_report(
        self, config: MonitoringConfig, result: MonitoringResult, page: str
    ) -> str | None:
        """Keep the report of a monitoring run, and return where a person opens it."""

    @abstractmethod
    def store_history(self, config: MonitoringConfig, page: str) -> str | None:
        """Keep the drift history of a model beside its reports, and return where it is."""

    @abstractmethod
    def store_model(self, config: MonitoringConfig, version: str, page: str) -> str | None:
        """Keep the page of a model's version, and return where it is."""

    def newest_anomaly_entry(self, config: MonitoringConfig) -> dict[str, Any] | None:
        """Return the newest entry that the model's monitors wrote to the log, if it can be read."""
        return None

    def console_page(
        self, config: MonitoringConfig, job_name: str, feature: str | None = None
    ) -> str | None:
        """Return the https address of a job's monitor in a console, or of a feature's drift."""
        return None


class TriggerQueueResource(dg.ConfigurableResource):
    """Where drift messages come from: Google Cloud, or what PUBSUB_EMULATOR_HOST names."""

    impersonate_service_account: str | None = Field(
        default=None, description="Service account to act as."
    )

    @contextmanager
    def open(self, config: MonitoringConfig) -> Generator[TriggerQueue]:
        """Connect to the queue of a model; the process keeps its connection from tick to tick."""
        from transak_drift.pubsub.trigger_queue import TriggerQueue

        queue = TriggerQueue(_clients(self.endpoint(), self.impersonate_service_account), config)
        self.prepare(queue)
        try:
            yield queue
        finally:
            queue.finish()

    def endpoint(self) -> str | None:
        """Return `host:port` of the Pub/Sub server, or None for Google Cloud."""
        return os.environ.get(EMULATOR_VARIABLE) or None

    def prepare(self, queue: TriggerQueue) -> None:
        """Make what the platform does not have yet; nothing on gcp, where Terraform does."""


@cache
def _clients(endpoint: str | None, service_account: str | None) -> PubSubClients:
    # The Google client takes a second to import; loading definitions does not need it.
    from transak_drift.pubsub.connection import connect

    return connect(endpoint, service_account)
