"""Published messages in the database, and their way into subscriptions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from transak_drift.local.pubsub_server.clock import Clock
from transak_drift.local.pubsub_server.database import Database
from transak_drift.local.pubsub_server.errors import not_found
from transak_drift.local.pubsub_server.topic_store import find_topic_id


@dataclass(frozen=True)
class Publication:
    """What a publish request led to: the ids in order, and the subscriptions with new messages."""

    message_ids: list[int]
    subscription_names: list[str]


def insert_messages(
    connection: sqlite3.Connection, topic_id: int, contents: Sequence[bytes], now: int
) -> Publication:
    """Give messages their ids and put them into each of a topic's subscriptions.

    Args:
        connection: inside a write transaction.
        topic_id: row id of the topic.
        contents: serialized `PubsubMessage`s without id and publish time.
        now: microseconds since the epoch. The publish time is never before an earlier message's,
            even when the clock was set back.
    """
    last_id, publish_time = connection.execute(
        "UPDATE last_message SET message_id = message_id + ?, publish_time = max(publish_time, ?)"
        " RETURNING message_id, publish_time",
        (len(contents), now),
    ).fetchone()
    message_ids = list(range(last_id - len(contents) + 1, last_id + 1))
    subscriptions = connection.execute(
        "SELECT subscription_id, name FROM subscription WHERE topic_id = ?", (topic_id,)
    ).fetchall()
    if subscriptions:
        connection.executemany(
            "INSERT INTO message (message_id, publish_time, content) VALUES (?, ?, ?)",
            (
                (message_id, publish_time, content)
                for message_id, content in zip(message_ids, contents, strict=True)
            ),
        )
        connection.executemany(
            "INSERT INTO delivery (subscription_id, message_id, available_at) VALUES (?, ?, ?)",
            (
                (subscription_id, message_id, now)
                for subscription_id, _ in subscriptions
                for message_id in message_ids
            ),
        )
    return Publication(message_ids, [name for _, name in subscriptions])


class MessageStore:
    """Takes published messages."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def publish(self, topic_name: str, contents: Sequence[bytes]) -> Publication:
        """Store messages for each of the topic's subscriptions, all or none.

        Args:
            topic_name: resource name of the topic.
            contents: serialized `PubsubMessage`s without id and publish time.

        Raises:
            PubSubError: NOT_FOUND.
        """
        with self._database.transaction() as connection:
            topic_id = find_topic_id(connection, topic_name)
            if topic_id is None:
                raise not_found(f"Topic not found (resource={topic_name})")
            return insert_messages(connection, topic_id, contents, self._clock.now())
