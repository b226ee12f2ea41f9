"""The rules of delivery: until when a message is leased, when it comes again, when it is given up.

Sources: Cloud Pub/Sub documentation, "Lease management", "Handle message failures" (retry policies
and dead-letter topics).
"""

from __future__ import annotations

from dataclasses import dataclass

from transak_drift.local.pubsub_server.clock import MICROSECONDS

MINIMUM_ACK_DEADLINE_SECONDS = 10
MAXIMUM_ACK_DEADLINE_SECONDS = 600
DEFAULT_ACK_DEADLINE_SECONDS = 10
MINIMUM_DELIVERY_ATTEMPTS = 5
MAXIMUM_DELIVERY_ATTEMPTS = 100
DEFAULT_DELIVERY_ATTEMPTS = 5


@dataclass(frozen=True)
class RetryBackoff:
    """Bounds of the exponential backoff between two deliveries, in microseconds."""

    minimum: int
    maximum: int

    def delay(self, delivery_attempt: int) -> int:
        """Return the microseconds to wait after a failed attempt (1 is the first)."""
        exponent = max(0, delivery_attempt - 1)
        # Beyond 2^40 the maximum holds anyway; the bound keeps the integers small.
        return min(self.maximum, self.minimum << min(exponent, 40))


@dataclass(frozen=True)
class DeadLetterRule:
    """Where a message goes which was delivered `max_delivery_attempts` times in vain."""

    topic_name: str
    max_delivery_attempts: int

    def exhausted(self, delivery_attempt: int) -> bool:
        """Return whether a message with so many deliveries behind it is given up."""
        return delivery_attempt >= self.max_delivery_attempts


@dataclass(frozen=True)
class DeliveryRules:
    """How the messages of one subscription are delivered.

    Attributes:
        ack_deadline: microseconds that a delivery is leased for when the caller names none.
        retention: microseconds after which an unacknowledged message is dropped.
        backoff: bounds of the backoff, None: redelivered at once.
        dead_letter: the dead-letter policy, None: delivered without end.
    """

    ack_deadline: int
    retention: int
    backoff: RetryBackoff | None
    dead_letter: DeadLetterRule | None

    def redelivery_time(self, lease_end: int, delivery_attempt: int) -> int:
        """Return when a delivery is due again whose lease ends (or was given up) unacknowledged.

        Args:
            lease_end: end of the lease, microseconds since the epoch.
            delivery_attempt: number of the delivery, 1 for the first.
        """
        return lease_end + (self.backoff.delay(delivery_attempt) if self.backoff else 0)

    def exhausted(self, delivery_attempt: int) -> bool:
        """Return whether a message with so many deliveries behind it is dead-lettered."""
        return self.dead_letter is not None and self.dead_letter.exhausted(delivery_attempt)

    def lease_length(self, seconds: int | None) -> int:
        """Return the microseconds of a lease; None: the subscription's ack deadline."""
        return self.ack_deadline if seconds is None else seconds * MICROSECONDS
