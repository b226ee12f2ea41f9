"""What the server keeps, in one SQLite file: topics, subscriptions and messages not acknowledged.

All times are whole microseconds since the epoch. The definitions are plain protobuf messages.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, InvalidArgument, NotFound
from google.pubsub_v1 import types

MICROSECONDS = 1_000_000
DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that topic has been deleted."""
_MAX_PAGE_SIZE = 1000
_SCHEMA_VERSION = 2
_NEVER = 2**63 - 1
_ACK_ID = re.compile(r"[1-9]\d{0,17}(-[1-9]\d{0,17}){2}", re.ASCII)
# delivery.available_at is when a message may be handed out: its publish time at first, the end of
# the lease while it is leased. One index range thus answers "what is due, oldest first", for new
# messages and for expired leases alike.
# delivery.leased_attempt is the delivery whose ack id counts; 0 once the message is given back.
# The partial index holds what may be due for a dead-letter topic (5 is the smallest
# max_delivery_attempts), so that looking for it never scans the backlog.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE topic (name TEXT PRIMARY KEY, definition BLOB NOT NULL);
CREATE TABLE subscription (
    subscription_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    definition BLOB NOT NULL
);
CREATE TABLE delivery (
    subscription_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    publish_time INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    delivery_attempt INTEGER NOT NULL DEFAULT 0,
    leased_attempt INTEGER NOT NULL DEFAULT 0,
    content BLOB NOT NULL
);
CREATE UNIQUE INDEX delivery_of_message ON delivery (subscription_id, message_id);
CREATE INDEX delivery_due ON delivery (subscription_id, available_at, message_id);
CREATE INDEX delivery_failing ON delivery (subscription_id, delivery_attempt, available_at)
    WHERE delivery_attempt >= 5;
CREATE TABLE last_message (message_id INTEGER NOT NULL, publish_time INTEGER NOT NULL);
INSERT INTO last_message VALUES (0, 0);
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""


def system_clock() -> int:
    """Return the wall clock's time: leases must outlive the process."""
    return time.time_ns() // 1000


class Storage:
    """The tables, changed in transactions that are on the disk when a method returns.

    A commit returns after SQLite has synchronised its write-ahead log, so that what was answered
    survives SIGKILL and a power failure. sqlite3.DatabaseError is raised for a file that is no
    database of this version. Leases and publish times are taken from the clock.

    An ack id counts as long as its message was neither handed out again nor given back: an
    acknowledgement after the deadline still counts until the redelivery, as in Google's emulator.
    Any other ack id of this server is accepted without effect.
    """

    def __init__(self, data_file: Path, clock: Callable[[], int] = system_clock) -> None:
        self.clock = clock
        self.connection = sqlite3.connect(data_file, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        # The backlog can be larger than the memory: 16 MiB of pages, whatever the file's size.
        self.connection.execute("PRAGMA cache_size = -16384")
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self.connection.executescript(_SCHEMA)
        elif version != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"it has schema version {version}, this server needs {_SCHEMA_VERSION}; fix: "
                "use the version of transak_drift that wrote it, or move the file away"
            )

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Open a write transaction: committed at the end, rolled back on any exception."""
        with self.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def create_topic(self, topic: Any) -> None:
        with self.transaction() as connection:
            if self._has_topic(topic.name):
                raise AlreadyExists(f"Topic already exists (resource={topic.name})")
            content = (topic.name, topic.SerializeToString())
            connection.execute("INSERT INTO topic VALUES (?, ?)", content)

    def topic(self, name: str, problem: str = "Topic not found") -> Any:
        query = "SELECT definition FROM topic WHERE name = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        if row is None:
            raise NotFound(f"{problem} (resource={name})")
        return types.Topic.pb().FromString(row[0])

    def _has_topic(self, name: str) -> bool:
        query = "SELECT 1 FROM topic WHERE name = ?"
        return self.connection.execute(query, (name,)).fetchone() is not None

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their messages and get no new ones."""
        with self.transaction() as connection:
            self.topic(name)
            connection.execute("DELETE FROM topic WHERE name = ?", (name,))
            orphan = "UPDATE subscription SET topic = ? WHERE topic = ?"
            connection.execute(orphan, (DELETED_TOPIC, name))

    def create_subscription(self, subscription: Any) -> None:
        """Store a new subscription; it gets the messages published from now on."""
        name = subscription.name
        with self.transaction() as connection:
            if connection.execute("SELECT 1 FROM subscription WHERE name = ?", (name,)).fetchone():
                raise AlreadyExists(f"Subscription already exists (resource={name})")
            self.topic(subscription.topic, "Subscription topic does not exist")
            if dead_letter_topic := subscription.dead_letter_policy.dead_letter_topic:
                self.topic(dead_letter_topic, "Dead letter topic not found")
            connection.execute(
                "INSERT INTO subscription (name, topic, definition) VALUES (?, ?, ?)",
                (name, subscription.topic, subscription.SerializeToString()),
            )

    def subscription(self, name: str) -> tuple[int, Any]:
        """Return the row id of a subscription and its definition."""
        query = "SELECT subscription_id, topic, definition FROM subscription WHERE name = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        if row is None:
            raise NotFound(f"Subscription does not exist (resource={name})")
        subscription = types.Subscription.pb().FromString(row[2])
        subscription.topic = row[1]
        return row[0], subscription

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription and its backlog."""
        with self.transaction() as connection:
            subscription_id, _ = self.subscription(name)
            for table in ("delivery", "subscription"):
                connection.execute(f"DELETE FROM {table} WHERE subscription_id = {subscription_id}")

    def topics(self, request: Any) -> Any:
        names, token = self._page("topic", request)
        topics = [self.topic(name) for name in names]
        return types.ListTopicsResponse.pb()(topics=topics, next_page_token=token)

    def subscriptions(self, request: Any) -> Any:
        names, token = self._page("subscription", request)
        found = [self.subscription(name)[1] for name in names]
        return types.ListSubscriptionsResponse.pb()(subscriptions=found, next_page_token=token)

    def _page(self, table: str, request: Any) -> tuple[list[str], str]:
        """Return some of the names of a project, and the last of them where more follow."""
        prefix = f"{request.project}/{table}s/"
        size = min(request.page_size, _MAX_PAGE_SIZE) if request.page_size > 0 else _MAX_PAGE_SIZE
        rows = self.connection.execute(
            f"SELECT name FROM {table} WHERE name > ? AND substr(name, 1, ?) = ?"
            " ORDER BY name LIMIT ?",
            (max(prefix, request.page_token), len(prefix), prefix, size + 1),
        )
        names = [name for (name,) in rows]
        return names[:size], names[size - 1] if len(names) > size else ""

    def publish(self, topic_name: str, messages: Sequence[Any]) -> list[int]:
        """Store messages, all or none; return their ids."""
        with self.transaction():
            self.topic(topic_name)
            return self._insert_messages(topic_name, messages)

    def _insert_messages(self, topic_name: str, messages: Sequence[Any]) -> list[int]:
        now = self.clock()
        # The publish time is never before an earlier message's, even when the clock was set back.
        last_id, publish_time = self.connection.execute(
            "UPDATE last_message"
            " SET message_id = message_id + ?, publish_time = max(publish_time, ?)"
            " RETURNING message_id, publish_time",
            (len(messages), now),
        ).fetchone()
        message_ids = list(range(last_id - len(messages) + 1, last_id + 1))
        subscription_ids = self.connection.execute(
            "SELECT subscription_id FROM subscription WHERE topic = ?", (topic_name,)
        ).fetchall()
        for message in messages:
            # Both are the server's to give, whatever the publisher wrote into them.
            message.ClearField("message_id")
            message.ClearField("publish_time")
        self.connection.executemany(
            "INSERT INTO delivery"
            " (subscription_id, message_id, publish_time, available_at, content)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                (subscription_id, message_id, publish_time, now, message.SerializeToString())
                for (subscription_id,) in subscription_ids
                for message_id, message in zip(message_ids, messages, strict=True)
            ),
        )
        return message_ids

    def lease(self, subscription_name: str, max_messages: int, max_bytes: int) -> Any:
        """Lease the oldest messages that are due, the first whatever its size: a PullResponse."""
        response = types.PullResponse.pb()()
        with self.transaction() as connection:
            subscription_id, subscription = self.subscription(subscription_name)
            now = self.clock()
            lease_end = now + subscription.ack_deadline_seconds * MICROSECONDS
            leased: list[tuple[int, int, int, int]] = []
            size = 0
            # The rows are read one by one, so that no more than max_bytes are in memory.
            for message_id, attempt, publish_time, content in connection.execute(
                "SELECT message_id, delivery_attempt + 1, publish_time, content FROM delivery"
                " WHERE subscription_id = ? AND available_at <= ? AND delivery_attempt < ?"
                " ORDER BY available_at, message_id LIMIT ?",
                (subscription_id, now, self._max_attempts(subscription), max_messages),
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
        with self.transaction() as connection:
            connection.executemany(
                "DELETE FROM delivery"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                self._decode(subscription_name, ack_ids),
            )

    def modify_ack_deadlines(
        self, subscription_name: str, ack_ids: Sequence[str], seconds: int
    ) -> None:
        """Let leases end so many seconds from now, all or none; 0 gives the messages back."""
        with self.transaction() as connection:
            lease_end = self.clock() + seconds * MICROSECONDS
            connection.executemany(
                "UPDATE delivery SET available_at = ?, leased_attempt = ?"
                " WHERE subscription_id = ? AND message_id = ? AND leased_attempt = ?",
                (
                    (lease_end, delivery[2] if seconds else 0, *delivery)
                    for delivery in self._decode(subscription_name, ack_ids)
                ),
            )

    def _decode(self, subscription_name: str, ack_ids: Sequence[str]) -> list[tuple[int, ...]]:
        """Return subscription, message and attempt of the ack ids that are of the subscription."""
        if not ack_ids:
            raise InvalidArgument("No ack ids specified.")
        for ack_id in ack_ids:
            if _ACK_ID.fullmatch(ack_id) is None:
                raise InvalidArgument(f"Invalid ack id (ack_id={ack_id[:300]})")
        deliveries = [tuple(map(int, ack_id.split("-"))) for ack_id in ack_ids]
        # Others are of a deleted subscription, whose successor may have the same name.
        own_id, _ = self.subscription(subscription_name)
        return [delivery for delivery in deliveries if delivery[0] == own_id]

    def maintain(self) -> None:
        """Forward messages whose last lease is over, and drop those retained long enough."""
        with self.transaction() as connection:
            names = connection.execute("SELECT name FROM subscription").fetchall()
            for subscription_id, subscription in [self.subscription(name) for (name,) in names]:
                retention = subscription.message_retention_duration.ToMicroseconds()
                # Publish times never fall as message ids grow, so the search ends at the first.
                connection.execute(
                    "DELETE FROM delivery WHERE subscription_id = ?1 AND message_id < ifnull("
                    "(SELECT message_id FROM delivery WHERE subscription_id = ?1"
                    " AND publish_time >= ?2 ORDER BY message_id LIMIT 1), ?3)",
                    (subscription_id, self.clock() - retention, _NEVER),
                )
                exhausted = connection.execute(
                    "DELETE FROM delivery WHERE subscription_id = ? AND delivery_attempt >= 5"
                    " AND delivery_attempt >= ? AND available_at <= ?"
                    " RETURNING message_id, delivery_attempt, publish_time, content",
                    (subscription_id, self._max_attempts(subscription), self.clock()),
                ).fetchall()
                letters = [_dead_letter(subscription.name, *rest) for _, *rest in sorted(exhausted)]
                if letters:
                    topic_name = subscription.dead_letter_policy.dead_letter_topic
                    self._insert_messages(topic_name, letters)

    def _max_attempts(self, subscription: Any) -> int:
        """Return how often a message is delivered: without its dead-letter topic for ever."""
        policy = subscription.dead_letter_policy
        return policy.max_delivery_attempts if self._has_topic(policy.dead_letter_topic) else _NEVER


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
