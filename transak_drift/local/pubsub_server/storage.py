"""What the server keeps, in one SQLite file: topics, subscriptions and published messages.

All times are whole microseconds since the epoch.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, TypeVarTuple, cast

from google.api_core.exceptions import AlreadyExists, NotFound
from google.pubsub_v1 import types

MICROSECONDS = 1_000_000
DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that topic has been deleted."""
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
# CROSS JOIN keeps the order: one look into the deliveries for each of the few subscriptions.
UNREFERENCED = """NOT EXISTS (
    SELECT 1 FROM subscription CROSS JOIN delivery USING (subscription_id)
    WHERE delivery.message_id = message.message_id)"""

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


def system_clock() -> int:
    """Return the wall clock's time: leases must outlive the process."""
    return time.time_ns() // 1000


class Storage:
    """The tables, changed in transactions that are on the disk when a method returns.

    A commit returns after SQLite has synchronised its write-ahead log, so that what was answered
    survives SIGKILL and a power failure.

    sqlite3.DatabaseError is raised for a file that is no database of this version. Leases and
    publish times are taken from the clock.
    """

    def __init__(self, data_file: Path, clock: Callable[[], int] = system_clock) -> None:
        self.clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage")
        self.connection = sqlite3.connect(data_file, isolation_level=None, check_same_thread=False)
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

    async def run(self, function: Callable[[*_Arguments], _Result], *args: *_Arguments) -> _Result:
        """Run a method on the storage thread: one after the other, off the event loop.

        A cancelled caller does not undo a call that has begun.
        """
        return await asyncio.wrap_future(self._executor.submit(function, *args))

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Open a write transaction: committed at the end, rolled back on any exception."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # On some errors, a full disk for example, SQLite has rolled back already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Finish the calls that have begun and close the file."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self.connection.close()

    def create_topic(self, topic: types.Topic) -> None:
        with self.transaction() as connection:
            if self.topic_id(topic.name) is not None:
                raise AlreadyExists(f"Topic already exists (resource={topic.name})")
            connection.execute(
                "INSERT INTO topic (name, definition) VALUES (?, ?)",
                (topic.name, types.Topic.serialize(topic)),
            )

    def get_topic(self, name: str) -> types.Topic:
        row = self.connection.execute(
            "SELECT definition FROM topic WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise NotFound(f"Topic not found (resource={name})")
        return cast(types.Topic, types.Topic.deserialize(row[0]))

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their messages and get no new ones."""
        with self.transaction() as connection:
            topic_id = (self._require_topic(name),)
            connection.execute("DELETE FROM topic WHERE topic_id = ?", topic_id)
            connection.execute(
                "UPDATE subscription SET topic_id = NULL WHERE topic_id = ?", topic_id
            )

    def create_subscription(self, subscription: types.Subscription) -> None:
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
                (name, topic_id, types.Subscription.serialize(subscription)),
            )

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription and its backlog."""
        with self.transaction() as connection:
            subscription_id, _ = self.subscription(name)
            for table in ("delivery", "subscription"):
                connection.execute(
                    f"DELETE FROM {table} WHERE subscription_id = ?", (subscription_id,)
                )
            connection.execute(f"DELETE FROM message WHERE {UNREFERENCED}")

    def publish(self, topic_name: str, contents: Sequence[bytes]) -> tuple[list[int], list[str]]:
        """Store serialized messages, all or none; return their ids and the subscriptions' names."""
        with self.transaction():
            return self.insert_messages(self._require_topic(topic_name), contents)

    def names(self, collection: str, project: str, after: str, limit: int) -> tuple[list[str], str]:
        """Return the names of a project's topics or subscriptions after one of them, by name.

        Returns:
            At most `limit` names, and the last of them where more follow, else the empty text.
        """
        prefix = f"{project}/{collection}/"
        rows = self.connection.execute(
            f"SELECT name FROM {collection.removesuffix('s')}"
            " WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
            (max(prefix, after), len(prefix), prefix, limit + 1),
        )
        names = [name for (name,) in rows]
        return names[:limit], names[limit - 1] if len(names) > limit else ""

    def topic_id(self, name: str) -> int | None:
        row = self.connection.execute(
            "SELECT topic_id FROM topic WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else row[0]

    def _require_topic(self, name: str, problem: str = "Topic not found") -> int:
        topic_id = self.topic_id(name)
        if topic_id is None:
            raise NotFound(f"{problem} (resource={name})")
        return topic_id

    def subscription(self, name: str) -> tuple[int, types.Subscription]:
        row = self.connection.execute(
            "SELECT subscription_id, definition, topic_id FROM subscription WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise NotFound(f"Subscription does not exist (resource={name})")
        subscription = cast(types.Subscription, types.Subscription.deserialize(row[1]))
        if row[2] is None:
            subscription.topic = DELETED_TOPIC
        return row[0], subscription

    def all_subscriptions(self) -> list[tuple[int, types.Subscription]]:
        rows = self.connection.execute("SELECT name FROM subscription ORDER BY subscription_id")
        return [self.subscription(name) for (name,) in rows.fetchall()]

    def insert_messages(
        self, topic_id: int, contents: Sequence[bytes]
    ) -> tuple[list[int], list[str]]:
        now = self.clock()
        # The publish time is never before an earlier message's, even when the clock was set back.
        last_id, publish_time = self.connection.execute(
            "UPDATE last_message"
            " SET message_id = message_id + ?, publish_time = max(publish_time, ?)"
            " RETURNING message_id, publish_time",
            (len(contents), now),
        ).fetchone()
        message_ids = list(range(last_id - len(contents) + 1, last_id + 1))
        subscriptions = self.connection.execute(
            "SELECT subscription_id, name FROM subscription WHERE topic_id = ?", (topic_id,)
        ).fetchall()
        if subscriptions:
            self.connection.executemany(
                "INSERT INTO message (message_id, publish_time, content) VALUES (?, ?, ?)",
                (
                    (message_id, publish_time, content)
                    for message_id, content in zip(message_ids, contents, strict=True)
                ),
            )
            self.connection.executemany(
                "INSERT INTO delivery (subscription_id, message_id, available_at) VALUES (?, ?, ?)",
                (
                    (subscription_id, message_id, now)
                    for subscription_id, _ in subscriptions
                    for message_id in message_ids
                ),
            )
        return message_ids, [name for _, name in subscriptions]
