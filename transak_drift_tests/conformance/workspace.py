"""The real clients, connected to one server, with resource names that no other test uses."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1 import types

from transak_drift.pubsub.connection import connect

PULL_SECONDS = 20.0
"""Deadline of a pull that is expected to find a message; it returns as soon as there is one."""


class Workspace(AbstractContextManager):
    """A project of its own on a server; Google's emulator does not enforce some limits."""

    def __init__(self, endpoint: str, *, follows_documented_limits: bool = True) -> None:
        self.endpoint = endpoint
        self.follows_documented_limits = follows_documented_limits
        self.project = f"project-{uuid.uuid4().hex[:12]}"
        self._clients = connect(endpoint)
        self.publisher = self._clients.publisher
        self.subscriber = self._clients.subscriber

    def __exit__(self, *_: object) -> None:
        self._clients.close()

    def topic_name(self, topic: str) -> str:
        return f"projects/{self.project}/topics/{topic}"

    def subscription_name(self, subscription: str) -> str:
        return f"projects/{self.project}/subscriptions/{subscription}"

    def create_topic(self, topic: str = "topic-one") -> str:
        return self.publisher.create_topic(name=self.topic_name(topic)).name

    def create_subscription(
        self, topic_name: str, subscription: str = "subscription-one", **settings: Any
    ) -> str:
        name = self.subscription_name(subscription)
        self.subscriber.create_subscription(request={"name": name, "topic": topic_name, **settings})
        return name

    def create_pair(self, **settings: Any) -> tuple[str, str]:
        """Create a topic and a subscription to it; return both resource names."""
        topic_name = self.create_topic()
        return topic_name, self.create_subscription(topic_name, **settings)

    def publish(self, topic_name: str, *messages: bytes | types.PubsubMessage) -> list[str]:
        """Publish messages in one request and return their ids."""
        wrapped = [types.PubsubMessage(data=m) if isinstance(m, bytes) else m for m in messages]
        response = self.publisher.publish(
            topic=topic_name, messages=wrapped, retry=None, timeout=30.0
        )
        return list(response.message_ids)

    def pull(
        self, subscription_name: str, max_messages: int = 10, timeout: float = PULL_SECONDS
    ) -> list[types.ReceivedMessage]:
        """Pull once; return as soon as there is a message, or without one near the deadline."""
        response = self.subscriber.pull(
            subscription=subscription_name, max_messages=max_messages, retry=None, timeout=timeout
        )
        return list(response.received_messages)

    def pull_now(self, subscription_name: str) -> list[types.ReceivedMessage]:
        """Return what is due, which may be nothing."""
        with suppress(DeadlineExceeded):
            return self.pull(subscription_name, timeout=0.4)
        return []

    def pull_count(self, subscription_name: str, count: int) -> list[types.ReceivedMessage]:
        """Pull until `count` messages have come: one pull may bring fewer than there are."""
        received: list[types.ReceivedMessage] = []
        while len(received) < count:
            found = self.pull(subscription_name, min(count - len(received), 1000))
            assert found, f"only {len(received)} of {count} messages came"
            received.extend(found)
        return received

    def acknowledge(
        self, subscription_name: str, received: Sequence[types.ReceivedMessage]
    ) -> None:
        ack_ids = [entry.ack_id for entry in received]
        self.subscriber.acknowledge(subscription=subscription_name, ack_ids=ack_ids, retry=None)

    def set_ack_deadline(
        self, subscription_name: str, received: Sequence[types.ReceivedMessage], seconds: int
    ) -> None:
        """Let the leases of deliveries end in the given seconds; 0 gives them up."""
        self.subscriber.modify_ack_deadline(
            subscription=subscription_name,
            ack_ids=[entry.ack_id for entry in received],
            ack_deadline_seconds=seconds,
        )
