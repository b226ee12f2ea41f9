"""What the server keeps, in one SQLite file: topics, subscriptions and published messages.

All times are whole microseconds since the epoch.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, NotFound
from google.pubsub_v1 import types

MICROSECONDS = 1_000_000
DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that topic has been deleted."""
_MAX_PAGE_SIZE = 1000
_SCHEMA_VERSION = 1
# delivery.available_at is when a message may be handed out: its publish time at first, the end of
# the lease while it is leased. One index range thus answers "what is due, oldest first", for new
# messages and for expired leases alike.
# delivery.leased_attempt is the delivery whose ack id counts; 0 once the message is given back.
# The partial index holds what may be due for a dead-letter topic (5 is the smallest
# max_delivery_attempts), so that looking for it never scans the backlog.
_SCHEMA = """
CREATE TABLE topic (
    topic_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    definition BLOB NOT NULL
);
CREATE TABLE subscription (
    subscription_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    topic_id INTEGER,
    definition BLOB NOT NULL
);
CREATE TABLE message (
    message_id INTEGER PRIMARY KEY,
    publish_time INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE TABLE delivery (
    subscription_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    delivery_attempt INTEGER NOT NULL DEFAULT 0,
    leased_attempt INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription_id, message_id)
) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (subscription_id, available_at, message_id);
CREATE INDEX delivery_failing ON delivery (subscription_id, delivery_attempt, available_at)
    WHERE delivery_attempt >= 5;
CREATE TABLE last_message (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    message_id INTEGER NOT NULL,
    publish_time INTEGER NOT NULL
);
INSERT INTO last_message VALUES (1, 0, 0);
"""
# Of this connection, which alone writes. CROSS JOIN keeps the order: one look into the deliveries
# for each of the few subscriptions.
_TRIGGER = """
CREATE TEMP TRIGGER drop_message AFTER DELETE ON main.delivery BEGIN
    DELETE FROM message WHERE message_id = old.message_id AND NOT EXISTS (
        SELECT 1 FROM subscription CROSS JOIN delivery USING (subscription_id)
        WHERE delivery.message_id = old.message_id);
END;
"""


def system_clock() -> int:
    """Return the wall clock's time: leases must outlive the process."""
    return time.time_ns() // 1000


class Storage:
    """The tables, changed in transactions that are on the disk when a method returns.

    A commit returns after SQLite has synchronised its write-ahead log, so that what was answered
    survives SIGKILL and a power failure. A message goes with its last delivery.

    sqlite3.DatabaseError is raised for a file that is no database of this version. Leases and
    publish times are taken from the clock.
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
            self.connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )
        elif version != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"{data_file} has schema version {version}, this server needs {_SCHEMA_VERSION}: "
                "use the version of transak_drift that wrote it, or move the file away"
            )
        self.connection.executescript(_TRIGGER)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Open a write transaction: committed at the end, rolled back on any exception."""
        with self.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def create_topic(self, topic: Any) -> None:
        with self.transaction() as connection:
            if self.topic_id(topic.name) is not None:
                raise AlreadyExists(f"Topic already exists (resource={topic.name})")
            connection.execute(
                "INSERT INTO topic (name, definition) VALUES (?, ?)",
                (topic.name, topic.SerializeToString()),
            )

    def topic(self, name: str) -> Any:
        query = "SELECT definition FROM topic WHERE name = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        if row is None:
            raise NotFound(f"Topic not found (resource={name})")
        return types.Topic.pb().FromString(row[0])

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their messages and get no new ones."""
        with self.transaction() as connection:
            topic_id = (self._require_topic(name),)
            connection.execute("DELETE FROM topic WHERE topic_id = ?", topic_id)
            orphan = "UPDATE subscription SET topic_id = NULL WHERE topic_id = ?"
            connection.execute(orphan, topic_id)

    def create_subscription(self, subscription: Any) -> None:
        """Store a new subscription; it gets the messages published from now on."""
        name = subscription.name
        with self.transaction() as connection:
            if connection.execute("SELECT 1 FROM subscription WHERE name = ?", (name,)).fetchone():
                raise AlreadyExists(f"Subscription already exists (resource={name})")
            topic_id = self._require_topic(subscription.topic, "Subscription topic does not exist")
            if dead_letter_topic := subscription.dead_letter_policy.dead_letter_topic:
                self._require_topic(dead_letter_topic, "Dead letter topic not found")
            connection.execute(
                "INSERT INTO subscription (name, topic_id, definition) VALUES (?, ?, ?)",
                (name, topic_id, subscription.SerializeToString()),
            )

    def subscription(self, name: str) -> tuple[int, Any]:
        """Return the row id of a subscription and its definition."""
        query = "SELECT subscription_id, topic_id, definition FROM subscription WHERE name = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        if row is None:
            raise NotFound(f"Subscription does not exist (resource={name})")
        subscription_id, topic_id, definition = row
        subscription = types.Subscription.pb().FromString(definition)
        if topic_id is None:
            subscription.topic = DELETED_TOPIC
        return subscription_id, subscription

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
            return self.insert_messages(self._require_topic(topic_name), messages)

    def topic_id(self, name: str) -> int | None:
        query = "SELECT topic_id FROM topic WHERE name = ?"
        return (self.connection.execute(query, (name,)).fetchone() or (None,))[0]

    def _require_topic(self, name: str, problem: str = "Topic not found") -> int:
        topic_id = self.topic_id(name)
        if topic_id is None:
            raise NotFound(f"{problem} (resource={name})")
        return topic_id

    def all_subscriptions(self) -> list[tuple[int, Any]]:
        rows = self.connection.execute("SELECT name FROM subscription ORDER BY subscription_id")
        return [self.subscription(name) for (name,) in rows.fetchall()]

    def insert_messages(self, topic_id: int, messages: Sequence[Any]) -> list[int]:
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
            "SELECT subscription_id FROM subscription WHERE topic_id = ?", (topic_id,)
        ).fetchall()
        if not subscription_ids:
            return message_ids
        for message in messages:
            # Both are the server's to give, whatever the publisher wrote into them.
            message.ClearField("message_id")
            message.ClearField("publish_time")
        self.connection.executemany(
            "INSERT INTO message (message_id, publish_time, content) VALUES (?, ?, ?)",
            (
                (message_id, publish_time, message.SerializeToString())
                for message_id, message in zip(message_ids, messages, strict=True)
            ),
        )
        self.connection.executemany(
            "INSERT INTO delivery (subscription_id, message_id, available_at) VALUES (?, ?, ?)",
            (
                (subscription_id, message_id, now)
                for (subscription_id,) in subscription_ids
                for message_id in message_ids
            ),
        )
        return message_ids
