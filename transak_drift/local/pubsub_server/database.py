"""The SQLite file: schema, connection and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA_VERSION = 1

# delivery.available_at is when a message may be handed out: its publish time at first, the end of
# the lease (plus a backoff) while it is leased. One index range thus answers "what is due, oldest
# first", for new messages and for expired leases alike.
# delivery.leased_attempt is the delivery whose ack id counts; 0 after a negative acknowledgement.
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
    topic_id INTEGER REFERENCES topic (topic_id) ON DELETE SET NULL,
    definition BLOB NOT NULL
);
CREATE INDEX subscription_by_topic ON subscription (topic_id, name);
CREATE TABLE message (
    message_id INTEGER PRIMARY KEY,
    publish_time INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX message_by_publish_time ON message (publish_time);
CREATE TABLE delivery (
    subscription_id INTEGER NOT NULL
        REFERENCES subscription (subscription_id) ON DELETE CASCADE,
    message_id INTEGER NOT NULL REFERENCES message (message_id),
    available_at INTEGER NOT NULL,
    delivery_attempt INTEGER NOT NULL DEFAULT 0,
    leased_attempt INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription_id, message_id)
) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (subscription_id, available_at, message_id);
CREATE INDEX delivery_by_message ON delivery (message_id);
CREATE INDEX delivery_failing ON delivery (subscription_id, delivery_attempt, available_at)
    WHERE delivery_attempt >= 5;
CREATE TABLE last_message (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    message_id INTEGER NOT NULL,
    publish_time INTEGER NOT NULL
);
INSERT INTO last_message VALUES (1, 0, 0);
"""


class DatabaseVersionError(Exception):
    """The file was written by another version of the server."""


class Database:
    """One connection to the server's file. Calls must not overlap; the thread does not matter.

    A commit returns after SQLite has synchronised its write-ahead log to the disk, so that what
    was answered survives SIGKILL and a power failure.

    Args:
        data_file: the file; created with its schema when missing.

    Raises:
        DatabaseVersionError: the file has another version of the schema.
        sqlite3.DatabaseError: the file is not an SQLite database.
    """

    def __init__(self, data_file: Path) -> None:
        self.connection = sqlite3.connect(data_file, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("PRAGMA foreign_keys = ON")
        # The backlog can be larger than the memory: 16 MiB of pages, whatever the file's size.
        self.connection.execute("PRAGMA cache_size = -16384")
        self._create_schema(data_file)

    def _create_schema(self, data_file: Path) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self.connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )
        elif version != _SCHEMA_VERSION:
            raise DatabaseVersionError(
                f"{data_file} has schema version {version}, this server needs {_SCHEMA_VERSION}: "
                "use the version of transak_drift that wrote it, or move the file away"
            )

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Open a write transaction: committed at the end, rolled back on any exception."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # On some errors, a full disk for one, SQLite has rolled back already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the connection; the write-ahead log is merged into the file."""
        self.connection.close()
