"""Subscriptions in the database."""

from __future__ import annotations

import sqlite3
from typing import cast

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.database import Database
from transak_drift.local.pubsub_server.errors import already_exists, not_found
from transak_drift.local.pubsub_server.resource_name import DELETED_TOPIC
from transak_drift.local.pubsub_server.topic_store import find_topic_id


def find_subscription(
    connection: sqlite3.Connection, name: str
) -> tuple[int, types.Subscription] | None:
    """Return row id and definition of a subscription, None: there is no such subscription."""
    row = connection.execute(
        "SELECT subscription_id, definition, topic_id FROM subscription WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else (row[0], _definition(row[1], row[2]))


def require_subscription(
    connection: sqlite3.Connection, name: str
) -> tuple[int, types.Subscription]:
    """Return row id and definition of a subscription.

    Raises:
        PubSubError: NOT_FOUND.
    """
    found = find_subscription(connection, name)
    if found is None:
        raise not_found(f"Subscription does not exist (resource={name})")
    return found


def delete_unreferenced_messages(connection: sqlite3.Connection, up_to_message_id: int) -> None:
    """Delete messages, up to a message id, which no subscription still has to deliver."""
    connection.execute(
        "DELETE FROM message WHERE message_id <= ? AND NOT EXISTS"
        " (SELECT 1 FROM delivery WHERE delivery.message_id = message.message_id)",
        (up_to_message_id,),
    )


class SubscriptionStore:
    """Creates, reads, changes and deletes subscriptions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, subscription: types.Subscription) -> types.Subscription:
        """Store a new subscription; it gets the messages published from now on.

        Raises:
            PubSubError: ALREADY_EXISTS, or NOT_FOUND: its topic or dead-letter topic is missing.
        """
        with self._database.transaction() as connection:
            if find_subscription(connection, subscription.name) is not None:
                raise already_exists(f"Subscription already exists (resource={subscription.name})")
            topic_id = find_topic_id(connection, subscription.topic)
            if topic_id is None:
                raise not_found(
                    f"Subscription topic does not exist (resource={subscription.topic})"
                )
            _require_dead_letter_topic(connection, subscription)
            connection.execute(
                "INSERT INTO subscription (name, topic_id, definition) VALUES (?, ?, ?)",
                (subscription.name, topic_id, types.Subscription.serialize(subscription)),
            )
        return subscription

    def get(self, name: str) -> types.Subscription:
        """Return a subscription.

        Raises:
            PubSubError: NOT_FOUND.
        """
        return require_subscription(self._database.connection, name)[1]

    def replace(self, subscription: types.Subscription) -> types.Subscription:
        """Store the changed definition of a subscription.

        Raises:
            PubSubError: NOT_FOUND: the subscription or its dead-letter topic is missing.
        """
        with self._database.transaction() as connection:
            subscription_id, _ = require_subscription(connection, subscription.name)
            _require_dead_letter_topic(connection, subscription)
            connection.execute(
                "UPDATE subscription SET definition = ? WHERE subscription_id = ?",
                (types.Subscription.serialize(subscription), subscription_id),
            )
        return subscription

    def delete(self, name: str) -> None:
        """Delete a subscription and its backlog.

        Raises:
            PubSubError: NOT_FOUND.
        """
        with self._database.transaction() as connection:
            subscription_id, _ = require_subscription(connection, name)
            newest = connection.execute(
                "SELECT max(message_id) FROM delivery WHERE subscription_id = ?",
                (subscription_id,),
            ).fetchone()[0]
            connection.execute(
                "DELETE FROM subscription WHERE subscription_id = ?", (subscription_id,)
            )
            if newest is not None:
                delete_unreferenced_messages(connection, newest)

    def list_after(self, project: str, after_name: str, limit: int) -> list[types.Subscription]:
        """Return up to `limit` subscriptions of `projects/<project>` after a name, by name."""
        prefix = f"{project}/subscriptions/"
        rows = self._database.connection.execute(
            "SELECT definition, topic_id FROM subscription"
            " WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
            (max(prefix, after_name), len(prefix), prefix, limit),
        )
        return [_definition(definition, topic_id) for definition, topic_id in rows]

    def list_names_of_topic(self, topic_name: str, after_name: str, limit: int) -> list[str]:
        """Return up to `limit` names of a topic's subscriptions after a name, by name."""
        rows = self._database.connection.execute(
            "SELECT subscription.name FROM subscription JOIN topic USING (topic_id)"
            " WHERE topic.name = ? AND subscription.name > ? ORDER BY subscription.name LIMIT ?",
            (topic_name, after_name, limit),
        )
        return [row[0] for row in rows]


def _definition(content: bytes, topic_id: int | None) -> types.Subscription:
    subscription = cast(types.Subscription, types.Subscription.deserialize(content))
    if topic_id is None:
        subscription.topic = DELETED_TOPIC
    return subscription


def _require_dead_letter_topic(
    connection: sqlite3.Connection, subscription: types.Subscription
) -> None:
    if not subscription.dead_letter_policy:
        return
    name = subscription.dead_letter_policy.dead_letter_topic
    if find_topic_id(connection, name) is None:
        raise not_found(f"Dead letter topic not found (resource={name})")
