"""Deliveries of messages to subscriptions: leases, acknowledgements, redelivery, dead letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from google.api_core.exceptions import InvalidArgument
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.storage import MICROSECONDS, UNREFERENCED, Storage

_NEVER = 2**63 - 1
_ACK_ID = re.compile(r"([1-9]\d{0,17})-([1-9]\d{0,17})-([1-9]\d{0,17})", re.ASCII)


class Lease(NamedTuple):
    """A delivery; the content, a serialized `PubsubMessage`, lacks its id and publish time."""

    ack_id: str
    message_id: int
    publish_time: int
    content: bytes
    attempt: int


class Deliveries:
    """Hands out messages under leases and takes them back.

    An ack id counts as long as its message was neither handed out again nor given back: an
    acknowledgement after the deadline still counts until the redelivery, as in Google's emulator.
    Any other ack id of this server is accepted without effect.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._connection = storage.connection

    def lease(
        self, subscription_name: str, max_messages: int, max_bytes: int
    ) -> tuple[types.Subscription, list[Lease], int | None]:
        """Lease the oldest messages that are due; the first whatever its size.

        The last item is when the subscription's next message is due; it may be past.
        """
        with self._storage.transaction() as connection:
            subscription_id, subscription = self._storage.subscription(subscription_name)
            max_attempts, _ = self._dead_letter_rule(subscription)
            now = self._storage.clock()
            leases: list[Lease] = []
            size = 0
            # The rows are read one by one, so that no more than max_bytes are in memory.
            for message_id, attempt, publish_time, content in connection.execute(
                "SELECT message_id, delivery_attempt + 1, publish_time, content"
                " FROM delivery CROSS JOIN message USING (message_id)"
                " WHERE subscription_id = ? AND available_at <= ? AND delivery_attempt < ?"
                " ORDER BY available_at, message_id LIMIT ?",
                (subscription_id, now, max_attempts, max_messages),
            ):
                size += len(content)
                if leases and size > max_bytes:
                    break
                # The attempt makes it unique, as none comes twice.
                ack_id = f"{subscription_id}-{message_id}-{attempt}"
                leases.append(Lease(ack_id, message_id, publish_time, content, attempt))
            lease_end = now + subscription.ack_deadline_seconds * MICROSECONDS
            connection.executemany(
                "UPDATE delivery SET delivery_attempt = ?1, leased_attempt = ?1, available_at = ?2"
                " WHERE subscription_id = ?3 AND message_id = ?4",
                ((lease.attempt, lease_end, subscription_id, lease.message_id) for lease in leases),
            )
            (next_available_at,) = connection.execute(
                "SELECT min(available_at) FROM delivery"
                " WHERE subscription_id = ? AND delivery_attempt < ?",
                (subscription_id, max_attempts),
            ).fetchone()
        return subscription, leases, next_available_at

    def acknowledge(self, subscription_name: str, ack_ids: Sequence[str]) -> None:
        """Take delivered messages out of the subscription for good, all or none."""
        with self._storage.transaction() as connection:
            deliveries = self._decode(subscription_name, ack_ids)
            connection.executemany(
                "DELETE FROM delivery"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                deliveries,
            )
            self._delete_unreferenced(message_id for _, message_id, _ in deliveries)

    def modify_ack_deadlines(
        self, subscription_name: str, ack_ids: Sequence[str], seconds: int
    ) -> None:
        """Let leases end so many seconds from now, all or none; 0 gives the messages back."""
        with self._storage.transaction() as connection:
            lease_end = self._storage.clock() + seconds * MICROSECONDS
            connection.executemany(
                "UPDATE delivery SET available_at = ?, leased_attempt = ?"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                (
                    (lease_end, delivery[2] if seconds else 0, *delivery)
                    for delivery in self._decode(subscription_name, ack_ids)
                ),
            )

    def forward_dead_letters(self) -> tuple[set[str], int | None]:
        """Forward the messages whose last lease is over to their dead-letter topics.

        Returned are the subscriptions that got some, and when the next such lease ends.
        """
        woken: set[str] = set()
        ends: list[int] = []
        with self._storage.transaction() as connection:
            now = self._storage.clock()
            for subscription_id, subscription in self._storage.all_subscriptions():
                max_attempts, topic_id = self._dead_letter_rule(subscription)
                if topic_id is None:
                    continue
                for message_id, attempts, publish_time, content, lease_end in connection.execute(
                    "SELECT message_id, delivery_attempt, publish_time, content, available_at"
                    " FROM delivery CROSS JOIN message USING (message_id) WHERE subscription_id = ?"
                    " AND delivery_attempt >= 5 AND delivery_attempt >= ? ORDER BY message_id",
                    (subscription_id, max_attempts),
                ).fetchall():
                    if lease_end > now:
                        ends.append(lease_end)
                        continue
                    letter = _dead_letter(content, subscription.name, publish_time, attempts)
                    woken.update(self._storage.insert_messages(topic_id, [letter])[1])
                    connection.execute(
                        "DELETE FROM delivery WHERE subscription_id = ? AND message_id = ?",
                        (subscription_id, message_id),
                    )
                    self._delete_unreferenced([message_id])
        return woken, min(ends, default=None)

    def drop_outdated(self) -> None:
        """Drop the messages that are older than their subscription retains them."""
        with self._storage.transaction() as connection:
            for subscription_id, subscription in self._storage.all_subscriptions():
                retention = subscription.message_retention_duration // timedelta(microseconds=1)
                # Publish times never fall as message ids grow, so the search ends at the first.
                (first_kept,) = connection.execute(
                    "SELECT message_id FROM message WHERE publish_time >= ?"
                    " ORDER BY message_id LIMIT 1",
                    (self._storage.clock() - retention,),
                ).fetchone() or (_NEVER,)
                connection.execute(
                    "DELETE FROM delivery WHERE subscription_id = ? AND message_id < ?",
                    (subscription_id, first_kept),
                )
                connection.execute(
                    f"DELETE FROM message WHERE message_id < ? AND {UNREFERENCED}", (first_kept,)
                )

    def _dead_letter_rule(self, subscription: types.Subscription) -> tuple[int, int | None]:
        """Return how often a message is delivered, and the row id of its dead-letter topic."""
        policy = subscription.dead_letter_policy
        topic_id = self._storage.topic_id(policy.dead_letter_topic) if policy else None
        # Without its topic a message is delivered further on: it must not be lost.
        return _NEVER if topic_id is None else policy.max_delivery_attempts, topic_id

    def _delete_unreferenced(self, message_ids: Iterable[int]) -> None:
        self._connection.executemany(
            f"DELETE FROM message WHERE message_id = ? AND {UNREFERENCED}",
            ((message_id,) for message_id in message_ids),
        )

    def _decode(self, subscription_name: str, ack_ids: Sequence[str]) -> list[tuple[int, ...]]:
        """Return subscription, message and attempt of the ack ids that are up to date."""
        own_id, _ = self._storage.subscription(subscription_name)
        deliveries: list[tuple[int, ...]] = []
        for ack_id in ack_ids:
            match = _ACK_ID.fullmatch(ack_id)
            if match is None:
                raise InvalidArgument(f"Invalid ack id (ack_id={ack_id[:300]})")
            delivery = tuple(map(int, match.groups()))
            if delivery[0] == own_id:
                deliveries.append(delivery)
            elif self._connection.execute(
                "SELECT 1 FROM subscription WHERE subscription_id = ?", delivery[:1]
            ).fetchone():
                raise InvalidArgument(
                    f"Subscription {subscription_name} received an invalid ack ID {ack_id}, meant "
                    "for another subscription"
                )
            # Else it is of a deleted subscription, whose successor may have the same name.
        return deliveries


def _dead_letter(content: bytes, subscription: str, publish_time: int, attempts: int) -> bytes:
    """Return the message with where it comes from; see Cloud Pub/Sub, "Dead-letter topics"."""
    message = types.PubsubMessage.deserialize(content)
    _, project, _, subscription_id = subscription.split("/")
    published = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=publish_time)
    source = {
        "DeliveryCount": str(attempts),
        "Subscription": subscription_id,
        "SubscriptionProject": project,
        "TopicPublishTime": published.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    message.attributes.update(
        {f"CloudPubSubDeadLetterSource{name}": value for name, value in source.items()}
    )
    return types.PubsubMessage.serialize(message)
