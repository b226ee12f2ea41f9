"""Deliveries of messages to subscriptions: leases, acknowledgements, redelivery, dead letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import InvalidArgument
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage

_NEVER = 2**63 - 1
_ACK_ID = re.compile(r"[1-9]\d{0,17}(-[1-9]\d{0,17}){2}", re.ASCII)


class Deliveries:
    """Hands out messages under leases and takes them back.

    An ack id counts as long as its message was neither handed out again nor given back: an
    acknowledgement after the deadline still counts until the redelivery, as in Google's emulator.
    Any other ack id of this server is accepted without effect.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def lease(self, subscription_name: str, max_messages: int, max_bytes: int) -> Any:
        """Lease the oldest messages that are due, the first whatever its size: a PullResponse."""
        response = types.PullResponse.pb()()
        with self._storage.transaction() as connection:
            subscription_id, subscription = self._storage.subscription(subscription_name)
            max_attempts, _ = self._dead_letter_rule(subscription)
            now = self._storage.clock()
            lease_end = now + subscription.ack_deadline_seconds * MICROSECONDS
            leased: list[tuple[int, int, int, int]] = []
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
                if leased and size > max_bytes:
                    break
                leased.append((attempt, lease_end, subscription_id, message_id))
                # The attempt makes it unique, as none comes twice.
                received = response.received_messages.add(
                    ack_id=f"{subscription_id}-{message_id}-{attempt}"
                )
                if subscription.HasField("dead_letter_policy"):
                    received.delivery_attempt = attempt
                received.message.ParseFromString(content)
                received.message.message_id = str(message_id)
                received.message.publish_time.FromMicroseconds(publish_time)
            connection.executemany(
                "UPDATE delivery SET delivery_attempt = ?1, leased_attempt = ?1, available_at = ?2"
                " WHERE subscription_id = ?3 AND message_id = ?4",
                leased,
            )
        return response

    def acknowledge(self, subscription_name: str, ack_ids: Sequence[str]) -> None:
        """Take delivered messages out of the subscription for good, all or none."""
        with self._storage.transaction() as connection:
            connection.executemany(
                "DELETE FROM delivery"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                self._decode(subscription_name, ack_ids),
            )

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

    def forward_dead_letters(self) -> None:
        """Forward the messages whose last lease is over to their dead-letter topics."""
        with self._storage.transaction() as connection:
            for subscription_id, subscription in self._storage.all_subscriptions():
                max_attempts, topic_id = self._dead_letter_rule(subscription)
                if topic_id is None:
                    continue
                exhausted = connection.execute(
                    "SELECT message_id, delivery_attempt, publish_time, content"
                    " FROM delivery CROSS JOIN message USING (message_id) WHERE subscription_id = ?"
                    " AND delivery_attempt >= 5 AND delivery_attempt >= ? AND available_at <= ?"
                    " ORDER BY message_id",
                    (subscription_id, max_attempts, self._storage.clock()),
                ).fetchall()
                if not exhausted:
                    continue
                letters = [_dead_letter(subscription.name, *rest) for _, *rest in exhausted]
                self._storage.insert_messages(topic_id, letters)
                connection.executemany(
                    f"DELETE FROM delivery WHERE subscription_id = {subscription_id}"
                    " AND message_id = ?",
                    [row[:1] for row in exhausted],
                )

    def drop_outdated(self) -> None:
        """Drop the messages that are older than their subscription retains them."""
        with self._storage.transaction() as connection:
            for subscription_id, subscription in self._storage.all_subscriptions():
                retention = subscription.message_retention_duration.ToMicroseconds()
                # Publish times never fall as message ids grow, so the search ends at the first.
                connection.execute(
                    "DELETE FROM delivery WHERE subscription_id = ? AND message_id < ifnull("
                    "(SELECT message_id FROM message WHERE publish_time >= ?"
                    " ORDER BY message_id LIMIT 1), ?)",
                    (subscription_id, self._storage.clock() - retention, _NEVER),
                )

    def _dead_letter_rule(self, subscription: Any) -> tuple[int, int | None]:
        """Return how often a message is delivered, and the row id of its dead-letter topic."""
        policy = subscription.dead_letter_policy
        topic_id = self._storage.topic_id(policy.dead_letter_topic)
        # Without its topic a message is delivered further on: it must not be lost.
        return _NEVER if topic_id is None else policy.max_delivery_attempts, topic_id

    def _decode(self, subscription_name: str, ack_ids: Sequence[str]) -> list[tuple[int, ...]]:
        """Return subscription, message and attempt of the ack ids that are of the subscription."""
        if not ack_ids:
            raise InvalidArgument("No ack ids specified.")
        for ack_id in ack_ids:
            if _ACK_ID.fullmatch(ack_id) is None:
                raise InvalidArgument(f"Invalid ack id (ack_id={ack_id[:300]})")
        deliveries = [tuple(map(int, ack_id.split("-"))) for ack_id in ack_ids]
        # Others are of a deleted subscription, whose successor may have the same name.
        own_id, _ = self._storage.subscription(subscription_name)
        return [delivery for delivery in deliveries if delivery[0] == own_id]


def _dead_letter(subscription: str, attempts: int, publish_time: int, content: bytes) -> Any:
    """Return the message with where it comes from; see Cloud Pub/Sub, "Dead-letter topics"."""
    message = types.PubsubMessage.pb().FromString(content)
    _, project, _, subscription_id = subscription.split("/")
    published = datetime.fromtimestamp(publish_time // 1000 / 1000, UTC)
    prefix = "CloudPubSubDeadLetterSource"
    message.attributes[f"{prefix}DeliveryCount"] = str(attempts)
    message.attributes[f"{prefix}Subscription"] = subscription_id
    message.attributes[f"{prefix}SubscriptionProject"] = project
    message.attributes[f"{prefix}TopicPublishTime"] = f"{published:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    return message
