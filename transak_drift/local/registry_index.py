"""The SQLite index of the model registry: its schema, connections and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

SCHEMA_VERSION = 1
_SECONDS_TO_WAIT_FOR_A_WRITER = 60.0

_SCHEMA = (
    """
    CREATE TABLE versions (
        model_name TEXT NOT NULL,
        number INTEGER NOT NULL CHECK (number > 0),
        created TEXT NOT NULL,
        metrics TEXT NOT NULL,
        first_day TEXT NOT NULL,
        last_day TEXT NOT NULL,
        rows INTEGER NOT NULL CHECK (rows >= 0),
        drift_event_key TEXT,
        training_run TEXT NOT NULL,
        artifact TEXT NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (model_name, number),
        UNIQUE (model_name, drift_event_key)
    ) STRICT
    """,
    """
    CREATE TABLE promotions (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        model_name TEXT NOT NULL,
        number INTEGER NOT NULL,
        promoted TEXT NOT NULL,
        FOREIGN KEY (model_name, number) REFERENCES versions (model_name, number)
    ) STRICT
    """,
)


@contextmanager
def connect(path: Path) -> Generator[sqlite3.Connection]:
    """Open the index for the block.

    Args:
        path: the database file.

    Yields:
        A connection in autocommit mode whose commits reach the disk.

    Raises:
        sqlite3.DatabaseError: the file is no database, or a writer does not finish in a minute.
    """
    opened = sqlite3.connect(path, timeout=_SECONDS_TO_WAIT_FOR_A_WRITER, isolation_level=None)
    with closing(opened) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Run the block as one write transaction; an exception undoes all of it.

    Args:
        connection: a connection of `connect`.

    Yields:
        Nothing.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def create_index(path: Path) -> None:
    """Create the index's tables where they are missing.

    Args:
        path: the database file; made if missing.

    Raises:
        sqlite3.DatabaseError: the file is no database, or from a newer release.
    """
    with connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise sqlite3.DatabaseError(
                    f"its schema version is {version}, this release knows {SCHEMA_VERSION}"
                )
            if version == 0:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
