"""Deliveries in the database: leases, acknowledgements, redelivery and dead letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from transak_drift.local.pubsub_server.ack_id import (
    DeliveryKey,
    decode_ack_id,
    encode_ack_id,
)
from transak_drift.local.pubsub_server.clock import Clock
from transak_drift.local.pubsub_server.database import Database
from transak_drift.local.pubsub_server.dead_letters import dead_letter_content
from transak_drift.local.pubsub_server.errors import invalid_argument
from transak_drift.local.pubsub_server.lease_rules import DeliveryRules
from transak_drift.local.pubsub_server.message_store import insert_messages
from transak_drift.local.pubsub_server.subscription_settings import delivery_rules
from transak_drift.local.pubsub_server.subscription_store import (
    delete_unreferenced_messages,
    require_subscription,
)
from transak_drift.local.pubsub_server.topic_store import find_topic_id


@dataclass(frozen=True)
class LeasedMessage:
    """One delivery of a message.

    Attributes:
        message_id: id of the message.
        publish_time: when it was published, microseconds since the epoch.
        content: serialized `PubsubMessage` without id and publish time.
        delivery_attempt: number of this delivery, 1 for the first.
        ack_id: the token that acknowledges this delivery.
        counts_attempts: whether the subscription has a dead-letter policy, so that the number is
            told to the subscriber.
    """

    message_id: int
    publish_time: int
    content: bytes
    delivery_attempt: int
    ack_id: str
    counts_attempts: bool


@dataclass(frozen=True)
class LeaseResult:
    """The messages leased now.

    Attributes:
        messages: the deliveries, oldest first.
        next_available_at: when the subscription's next message is due (microseconds since the
            epoch; may be past), None: its backlog is empty.
        woken_subscriptions: names of subscriptions that got dead letters meanwhile.
        has_last_attempt: whether one of the messages is a dead letter if this lease ends in vain.
    """

    messages: list[LeasedMessage]
    next_available_at: int | None
    woken_subscriptions: list[str]
    has_last_attempt: bool


@dataclass(frozen=True)
class DeadlineChange:
    """What a change of ack deadlines led to.

    Attributes:
        woken_subscriptions: names of subscriptions that may have messages to deliver now.
        has_last_attempt: whether one of the messages is a dead letter if its lease ends in vain.
    """

    woken_subscriptions: list[str]
    has_last_attempt: bool


@dataclass(frozen=True)
class _Attempt:
    message_id: int
    publish_time: int
    content: bytes
    earlier_attempts: int


class DeliveryStore:
    """Hands out messages under leases and takes them back.

    An ack id counts as long as its message was not handed out again and not negatively
    acknowledged: an acknowledgement after the deadline still counts until the redelivery, as in
    Google's emulator. Any other ack id of this server is accepted without effect.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def lease(
        self,
        subscription_name: str,
        *,
        max_messages: int,
        max_bytes: int,
        lease_seconds: int | None = None,
    ) -> LeaseResult:
        """Lease the oldest messages that are due.

        Args:
            subscription_name: resource name of the subscription.
            max_messages: how many at most.
            max_bytes: bytes of content to stop at; the first message is leased whatever its size.
            lease_seconds: length of the lease, None: the subscription's ack deadline.

        Raises:
            PubSubError: NOT_FOUND.
        """
        leased: list[LeasedMessage] = []
        woken: set[str] = set()
        with self._database.transaction() as connection:
            subscription_id, subscription = require_subscription(connection, subscription_name)
            rules = delivery_rules(subscription)
            now = self._clock.now()
            woken.update(
                _forward_exhausted(connection, subscription_id, subscription_name, rules, now)
            )
            attempts = _due(connection, subscription_id, now, max_messages, max_bytes)
            lease_end = now + rules.lease_length(lease_seconds)
            for attempt in attempts:
                number = attempt.earlier_attempts + 1
                connection.execute(
                    "UPDATE delivery SET delivery_attempt = ?, leased_attempt = ?,"
                    " available_at = ? WHERE subscription_id = ? AND message_id = ?",
                    (
                        number,
                        number,
                        rules.redelivery_time(lease_end, number),
                        subscription_id,
                        attempt.message_id,
                    ),
                )
                key = DeliveryKey(subscription_id, attempt.message_id, number)
                leased.append(
                    LeasedMessage(
                        message_id=attempt.message_id,
                        publish_time=attempt.publish_time,
                        content=attempt.content,
                        delivery_attempt=number,
                        ack_id=encode_ack_id(key),
                        counts_attempts=rules.dead_letter is not None,
                    )
                )
            next_available_at = connection.execute(
                "SELECT min(available_at) FROM delivery WHERE subscription_id = ?",
                (subscription_id,),
            ).fetchone()[0]
        return LeaseResult(
            messages=leased,
            next_available_at=next_available_at,
            woken_subscriptions=sorted(woken),
            has_last_attempt=any(rules.exhausted(lease.delivery_attempt) for lease in leased),
        )

    def acknowledge(self, subscription_name: str, ack_ids: Sequence[str]) -> None:
        """Take delivered messages out of the subscription for good, all or none.

        Raises:
            PubSubError: NOT_FOUND; INVALID_ARGUMENT: an ack id is none of this subscription's.
        """
        with self._database.transaction() as connection:
            subscription_id, _ = require_subscription(connection, subscription_name)
            keys = _decode(connection, subscription_id, subscription_name, ack_ids)
            connection.executemany(
                "DELETE FROM delivery"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                keys,
            )
            _delete_if_unreferenced(connection, (key.message_id for key in keys))

    def modify_ack_deadlines(
        self, subscription_name: str, ack_ids: Sequence[str], seconds: Sequence[int]
    ) -> DeadlineChange:
        """Let leases end at another time, all or none.

        Args:
            subscription_name: resource name of the subscription.
            ack_ids: the deliveries.
            seconds: for each ack id the seconds from now; 0 gives the message up at once.

        Raises:
            PubSubError: NOT_FOUND; INVALID_ARGUMENT: an ack id is none of this subscription's.
        """
        with self._database.transaction() as connection:
            subscription_id, subscription = require_subscription(connection, subscription_name)
            keys = _decode(connection, subscription_id, subscription_name, ack_ids)
            rules = delivery_rules(subscription)
            now = self._clock.now()
            connection.executemany(
                "UPDATE delivery SET available_at = ?, leased_attempt = ?"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                (
                    (
                        rules.redelivery_time(
                            now + rules.lease_length(length), key.delivery_attempt
                        ),
                        key.delivery_attempt if length else 0,
                        *key,
                    )
                    for key, length in zip(keys, seconds, strict=True)
                ),
            )
            woken = {
                subscription_name,
                *_forward_exhausted(connection, subscription_id, subscription_name, rules, now),
            }
        return DeadlineChange(
            woken_subscriptions=sorted(woken),
            has_last_attempt=any(rules.exhausted(key.delivery_attempt) for key in keys),
        )

    def leased_now(
        self, subscription_name: str, attempts: Mapping[int, int]
    ) -> tuple[set[int], int | None]:
        """Return which deliveries are still under their lease.

        Args:
            subscription_name: resource name of the subscription.
            attempts: delivery attempt by message id.

        Returns:
            The message ids, and when the first of these leases ends (microseconds since the
            epoch), None: there is none.

        Raises:
            PubSubError: NOT_FOUND.
        """
        connection = self._database.connection
        subscription_id, _ = require_subscription(connection, subscription_name)
        now = self._clock.now()
        ends: dict[int, int] = {}
        for message_id, attempt in attempts.items():
            row = connection.execute(
                "SELECT available_at FROM delivery WHERE subscription_id = ? AND message_id = ?"
                " AND leased_attempt = ? AND available_at > ?",
                (subscription_id, message_id, attempt, now),
            ).fetchone()
            if row is not None:
                ends[message_id] = row[0]
        return set(ends), min(ends.values(), default=None)

    def seek(self, subscription_name: str, time: int) -> None:
        """Acknowledge all messages of the backlog that were published before a time.

        Args:
            subscription_name: resource name of the subscription.
            time: microseconds since the epoch.

        Raises:
            PubSubError: NOT_FOUND.
        """
        with self._database.transaction() as connection:
            subscription_id, _ = require_subscription(connection, subscription_name)
            _drop_published_before(connection, subscription_id, time)

    def forward_exhausted(self) -> tuple[list[str], int | None]:
        """Forward every message whose last lease is over to its dead-letter topic.

        Returns:
            Names of the subscriptions that got messages, and when the next lease of such a
            message ends (microseconds since the epoch), None: there is none.
        """
        woken: set[str] = set()
        next_end: int | None = None
        with self._database.transaction() as connection:
            now = self._clock.now()
            for subscription_id, name in connection.execute(
                "SELECT subscription_id, name FROM subscription ORDER BY subscription_id"
            ).fetchall():
                rules = delivery_rules(require_subscription(connection, name)[1])
                if rules.dead_letter is None:
                    continue
                woken.update(_forward_exhausted(connection, subscription_id, name, rules, now))
                end = connection.execute(
                    "SELECT min(available_at) FROM delivery WHERE subscription_id = ?"
                    " AND delivery_attempt >= 5 AND delivery_attempt >= ? AND available_at > ?",
                    (subscription_id, rules.dead_letter.max_delivery_attempts, now),
                ).fetchone()[0]
                if end is not None:
                    next_end = end if next_end is None else min(next_end, end)
        return sorted(woken), next_end

    def drop_outdated(self) -> None:
        """Drop the messages that are older than their subscription retains them."""
        with self._database.transaction() as connection:
            now = self._clock.now()
            for subscription_id, name in connection.execute(
                "SELECT subscription_id, name FROM subscription ORDER BY subscription_id"
            ).fetchall():
                rules = delivery_rules(require_subscription(connection, name)[1])
                _drop_published_before(connection, subscription_id, now - rules.retention)


def _due(
    connection: sqlite3.Connection,
    subscription_id: int,
    now: int,
    max_messages: int,
    max_bytes: int,
) -> list[_Attempt]:
    found: list[_Attempt] = []
    size = 0
    # The rows are read one by one, so that no more than max_bytes are in memory.
    cursor = connection.execute(
        "SELECT message_id, delivery_attempt, publish_time, content"
        " FROM delivery CROSS JOIN message USING (message_id)"
        " WHERE subscription_id = ? AND available_at <= ?"
        " ORDER BY available_at, message_id LIMIT ?",
        (subscription_id, now, max_messages),
    )
    for message_id, earlier_attempts, publish_time, content in cursor:
        size += len(content)
        if found and size > max_bytes:
            break
        found.append(_Attempt(message_id, publish_time, content, earlier_attempts))
    cursor.close()
    return found


def _forward_exhausted(
    connection: sqlite3.Connection,
    subscription_id: int,
    subscription_name: str,
    rules: DeliveryRules,
    now: int,
) -> list[str]:
    if rules.dead_letter is None:
        return []
    topic_id = find_topic_id(connection, rules.dead_letter.topic_name)
    if topic_id is None:
        # Delivered further on: without its dead-letter topic a message must not be lost.
        return []
    woken: set[str] = set()
    # A nacked message is forwarded at once, whatever the backoff of the redelivery it had coming.
    exhausted = connection.execute(
        "SELECT message_id FROM delivery WHERE subscription_id = ? AND delivery_attempt >= 5"
        " AND delivery_attempt >= ? AND (available_at <= ? OR leased_attempt = 0)",
        (subscription_id, rules.dead_letter.max_delivery_attempts, now),
    ).fetchall()
    for (message_id,) in exhausted:
        content, publish_time, attempts = connection.execute(
            "SELECT content, publish_time, delivery_attempt"
            " FROM delivery CROSS JOIN message USING (message_id)"
            " WHERE subscription_id = ? AND message_id = ?",
            (subscription_id, message_id),
        ).fetchone()
        dead_letter = dead_letter_content(
            content,
            subscription_name=subscription_name,
            publish_time=publish_time,
            delivery_attempt=attempts,
        )
        publication = insert_messages(connection, topic_id, [dead_letter], now)
        woken.update(publication.subscription_names)
        connection.execute(
            "DELETE FROM delivery WHERE subscription_id = ? AND message_id = ?",
            (subscription_id, message_id),
        )
        _delete_if_unreferenced(connection, [message_id])
    return sorted(woken)


def _decode(
    connection: sqlite3.Connection,
    subscription_id: int,
    subscription_name: str,
    ack_ids: Sequence[str],
) -> list[DeliveryKey]:
    keys: list[DeliveryKey] = []
    for ack_id in ack_ids:
        try:
            key = decode_ack_id(ack_id)
        except ValueError as error:
            raise invalid_argument(f"Invalid ack id (ack_id={ack_id[:300]})") from error
        if key.subscription_id != subscription_id:
            _refuse_foreign_ack_id(connection, key, subscription_name, ack_id)
        keys.append(key)
    return keys


def _refuse_foreign_ack_id(
    connection: sqlite3.Connection, key: DeliveryKey, subscription_name: str, ack_id: str
) -> None:
    owner = connection.execute(
        "SELECT name FROM subscription WHERE subscription_id = ?", (key.subscription_id,)
    ).fetchone()
    # The ack id of a deleted subscription is only out of date: maybe it had the same name.
    if owner is not None:
        raise invalid_argument(
            f"Subscription {subscription_name} received an invalid ack ID {ack_id[:300]}, meant "
            f"for subscription: {owner[0]}"
        )


def _delete_if_unreferenced(connection: sqlite3.Connection, message_ids: Iterable[int]) -> None:
    connection.executemany(
        "DELETE FROM message WHERE message_id = ? AND NOT EXISTS"
        " (SELECT 1 FROM delivery WHERE delivery.message_id = message.message_id)",
        ((message_id,) for message_id in message_ids),
    )


def _drop_published_before(connection: sqlite3.Connection, subscription_id: int, time: int) -> None:
    # Publish times never fall as message ids grow (insert_messages), so one id divides them.
    newest = connection.execute(
        "SELECT message_id FROM message WHERE publish_time < ?"
        " ORDER BY publish_time DESC, message_id DESC LIMIT 1",
        (time,),
    ).fetchone()
    if newest is None:
        return
    dropped = connection.execute(
        "DELETE FROM delivery WHERE subscription_id = ? AND message_id <= ?",
        (subscription_id, newest[0]),
    ).rowcount
    if dropped:
        delete_unreferenced_messages(connection, newest[0])
