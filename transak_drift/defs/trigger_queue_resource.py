"""The trigger subscription as a Dagster resource: the same Pub/Sub client on both platforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig

if TYPE_CHECKING:
    from transak_drift.pubsub.trigger_queue import TriggerQueue


class TriggerQueueResource(dg.ConfigurableResource, ABC):
    """Where drift messages come from."""

    @contextmanager
    def open(self, config: MonitoringConfig) -> Generator[TriggerQueue]:
        """Connect to the queue of one monitored model.

        Args:
            config: names the project, topics and subscriptions.

        Yields:
            The queue, closed on leaving.
        """
        # The Google client takes a second to import; loading definitions does not need it.
        from transak_drift.pubsub.connection import connect
        from transak_drift.pubsub.trigger_queue import TriggerQueue

        queue = TriggerQueue(connect(self.endpoint(), self.service_account()), config)
        try:
            self.prepare(queue)
            yield queue
        finally:
            queue.close()

    @abstractmethod
    def endpoint(self) -> str | None:
        """Return `host:port` of the Pub/Sub server, or None for Google Cloud."""

    def service_account(self) -> str | None:
        """Return the e-mail of the service account to act as, or None."""
        return None

    def prepare(self, queue: TriggerQueue) -> None:
        """Make what the platform does not have yet; nothing on gcp, where Terraform does."""
