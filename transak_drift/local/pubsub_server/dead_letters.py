"""Forwarding of messages that were delivered too often in vain.

Source: Cloud Pub/Sub documentation, "Dead-letter topics", attributes of forwarded messages.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.resource_name import split_resource_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def dead_letter_content(
    content: bytes, *, subscription_name: str, publish_time: int, delivery_attempt: int
) -> bytes:
    """Return the message that goes to the dead-letter topic in place of another.

    It has the body, attributes and ordering key of the original, and attributes that say where it
    comes from.

    Args:
        content: the original, a serialized `PubsubMessage`.
        subscription_name: the subscription that could not deliver it.
        publish_time: when the original was published, microseconds since the epoch.
        delivery_attempt: how often it was delivered.
    """
    message = types.PubsubMessage.deserialize(content)
    project, subscription_id = split_resource_name(subscription_name)
    published = _EPOCH + timedelta(microseconds=publish_time)
    message.attributes.update(
        {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery_attempt),
            "CloudPubSubDeadLetterSourceSubscription": subscription_id,
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": published.isoformat(
                timespec="milliseconds"
            ).replace("+00:00", "Z"),
        }
    )
    return types.PubsubMessage.serialize(message)
