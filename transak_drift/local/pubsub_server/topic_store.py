"""Topics in the database."""

from __future__ import annotations

import sqlite3
from typing import cast

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.database import Database
from transak_drift.local.pubsub_server.errors import already_exists, not_found


def find_topic_id(connection: sqlite3.Connection, name: str) -> int | None:
    """Return the row id of a topic, None: there is no such topic."""
    row = connection.execute("SELECT topic_id FROM topic WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


class TopicStore:
    """Creates, reads, changes and deletes topics."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, topic: types.Topic) -> types.Topic:
        """Store a new topic.

        Raises:
            PubSubError: ALREADY_EXISTS.
        """
        with self._database.transaction() as connection:
            if find_topic_id(connection, topic.name) is not None:
                raise already_exists(f"Topic already exists (resource={topic.name})")
            connection.execute(
                "INSERT INTO topic (name, definition) VALUES (?, ?)",
                (topic.name, types.Topic.serialize(topic)),
            )
        return topic

    def get(self, name: str) -> types.Topic:
        """Return a topic.

        Raises:
            PubSubError: NOT_FOUND.
        """
        row = self._database.connection.execute(
            "SELECT definition FROM topic WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise not_found(f"Topic not found (resource={name})")
        return _definition(row[0])

    def replace(self, topic: types.Topic) -> types.Topic:
        """Store the changed definition of a topic.

        Raises:
            PubSubError: NOT_FOUND.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE topic SET definition = ? WHERE name = ?",
                (types.Topic.serialize(topic), topic.name),
            ).rowcount
        if not changed:
            raise not_found(f"Topic not found (resource={topic.name})")
        return topic

    def delete(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their messages and get no new ones.

        Raises:
            PubSubError: NOT_FOUND.
        """
        with self._database.transaction() as connection:
            if not connection.execute("DELETE FROM topic WHERE name = ?", (name,)).rowcount:
                raise not_found(f"Topic not found (resource={name})")

    def list_after(self, project: str, after_name: str, limit: int) -> list[types.Topic]:
        """Return up to `limit` topics of `projects/<project>` after a name, in order of names."""
        prefix = f"{project}/topics/"
        rows = self._database.connection.execute(
            "SELECT definition FROM topic"
            " WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
            (max(prefix, after_name), len(prefix), prefix, limit),
        )
        return [_definition(row[0]) for row in rows]


def _definition(content: bytes) -> types.Topic:
    return cast(types.Topic, types.Topic.deserialize(content))
