"""The real clients, connected to one server, with resource names that no other test uses."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient as MethodsOfPublisher
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

_CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
PULL_SECONDS = 20.0
"""Deadline of a pull that is expected to find a message; it returns as soon as there is one."""


class Workspace:
    """A project of its own on a server; Google's emulator does not enforce some limits."""

    def __init__(self, endpoint: str, *, follows_documented_limits: bool) -> None:
        self.endpoint = endpoint
        self.follows_documented_limits = follows_documented_limits
        self.project = f"project-{uuid.uuid4().hex[:12]}"
        self._channel = grpc.insecure_channel(endpoint, _CHANNEL_OPTIONS)
        self.publisher = pubsub_v1.PublisherClient(
            transport=PublisherGrpcTransport(channel=self._channel)
        )
        self.subscriber = pubsub_v1.SubscriberClient(
            transport=SubscriberGrpcTransport(channel=self._channel)
        )

    def close(self) -> None:
        self._channel.close()

    def topic_name(self, topic: str) -> str:
        return f"projects/{self.project}/topics/{topic}"

    def subscription_name(self, subscription: str) -> str:
        return f"projects/{self.project}/subscriptions/{subscription}"

    def create_topic(self, topic: str = "topic-one") -> str:
        name = self.topic_name(topic)
        self.publisher.create_topic(name=name)
        return name

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
        """Publish messages in one request and return their ids.

        `pubsub_v1.PublisherClient.publish` batches; the method of the same name beneath it is one
        request.
        """
        request = types.PublishRequest(
            topic=topic_name,
            messages=[
                types.PubsubMessage(data=message) if isinstance(message, bytes) else message
                for message in messages
            ],
        )
        response = MethodsOfPublisher.publish(
            self.publisher, request=request, retry=None, timeout=30.0
        )
        return list(response.message_ids)

    def pull(
        self, subscription_name: str, max_messages: int = 10, timeout: float = PULL_SECONDS
    ) -> list[types.ReceivedMessage]:
        """Pull once; return as soon as there is a message, or without one near the deadline."""
        response = self.subscriber.pull(
            request={"subscription": subscription_name, "max_messages": max_messages},
            retry=None,
            timeout=timeout,
        )
        return list(response.received_messages)

    def pull_now(
        self, subscription_name: str, max_messages: int = 10
    ) -> list[types.ReceivedMessage]:
        response = self.subscriber.pull(
            request={
                "subscription": subscription_name,
                "max_messages": max_messages,
                "return_immediately": True,
            },
            retry=None,
            timeout=PULL_SECONDS,
        )
        return list(response.received_messages)

    def pull_count(self, subscription_name: str, count: int) -> list[types.ReceivedMessage]:
        """Pull until `count` messages have come: one pull may bring fewer than there are."""
        received: list[types.ReceivedMessage] = []
        while len(received) < count:
            found = self.pull(subscription_name, count - len(received))
            assert found, f"only {len(received)} of {count} messages came"
            received.extend(found)
        return received

    def acknowledge(
        self, subscription_name: str, received: Sequence[types.ReceivedMessage]
    ) -> None:
        self.subscriber.acknowledge(
            subscription=subscription_name, ack_ids=[entry.ack_id for entry in received]
        )

    def set_ack_deadline(
        self, subscription_name: str, received: Sequence[types.ReceivedMessage], seconds: int
    ) -> None:
        """Let the leases of deliveries end in the given seconds; 0 gives them up."""
        self.subscriber.modify_ack_deadline(
            subscription=subscription_name,
            ack_ids=[entry.ack_id for entry in received],
            ack_deadline_seconds=seconds,
        )
