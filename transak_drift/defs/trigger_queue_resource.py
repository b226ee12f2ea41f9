"""The trigger subscription as a Dagster resource: the same Pub/Sub client on both platforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig

if TYPE_CHECKING:
    from transak_drift.pubsub.connection import PubSubClients
    from transak_drift.pubsub.trigger_queue import TriggerQueue


class TriggerQueueResource(dg.ConfigurableResource, ABC):
    """Where drift messages come from."""

    @contextmanager
    def open(self, config: MonitoringConfig) -> Generator[TriggerQueue]:
        """Connect to the queue of the model that the configuration describes.

        The process keeps its connection: a sensor opens the queue at each tick.
        """
        from transak_drift.pubsub.trigger_queue import TriggerQueue

        queue = TriggerQueue(_clients(self.endpoint(), self.service_account()), config)
        self.prepare(queue)
        try:
            yield queue
        finally:
            queue.finish()

    @abstractmethod
    def endpoint(self) -> str | None:
        """Return `host:port` of the Pub/Sub server, or None for Google Cloud."""

    def service_account(self) -> str | None:
        """Return the e-mail of the service account to act as, or None."""
        return None

    def prepare(self, queue: TriggerQueue) -> None:
        """Make what the platform does not have yet; nothing on gcp, where Terraform does."""


@cache
def _clients(endpoint: str | None, service_account: str | None) -> PubSubClients:
    # The Google client takes a second to import; loading definitions does not need it.
    from transak_drift.pubsub.connection import connect

    return connect(endpoint, service_account)
