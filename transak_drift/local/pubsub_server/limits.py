"""What a request may ask for: names, settings of topics and subscriptions, sizes.

Sources: the documentation of the google.pubsub.v1 messages; Cloud Pub/Sub documentation, "Quotas
and limits" and "Guidelines to name a topic, subscription, schema, or snapshot". The texts of the
errors follow Google's emulator.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from google.api_core.exceptions import InvalidArgument, MethodNotImplemented, OutOfRange

MAX_PUBLISH_BYTES = 10_000_000
MAX_RESPONSE_MESSAGES = 1000
# With the overhead below 4 MiB, the default receive limit of a gRPC channel. A single message may
# be larger.
MAX_RESPONSE_BYTES = 3_500_000

_MAX_PUBLISH_MESSAGES = 1000
_MAX_ATTRIBUTES = 100
_MAX_ATTRIBUTE_KEY_BYTES = 256
_MAX_ATTRIBUTE_VALUE_BYTES = 1024
_MINUTE = 60
_DAY = 24 * 60 * _MINUTE
_SUBSCRIPTION_SETTINGS = (
    *("name", "topic", "labels"),
    *("ack_deadline_seconds", "message_retention_duration", "dead_letter_policy"),
)
_RESOURCE_NAME = re.compile(
    r"projects/[A-Za-z0-9.:_-]{1,100}/(\w+)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}", re.ASCII
)


def check_topic(topic: Any) -> None:
    """Refuse a name or settings of a topic that are not allowed or not supported."""
    _check_name(topic.name, "topics")
    _refuse_others(topic, ("name", "labels"))


def complete_subscription(subscription: Any) -> None:
    """Refuse settings that are not allowed or not supported, and fill in the defaults."""
    _check_name(subscription.name, "subscriptions")
    _check_name(subscription.topic, "topics")
    if not subscription.push_config.ByteSize():
        subscription.ClearField("push_config")
    _refuse_others(subscription, _SUBSCRIPTION_SETTINGS)
    subscription.push_config.SetInParent()
    subscription.ack_deadline_seconds = subscription.ack_deadline_seconds or 10
    check_range("ack_deadline_seconds", subscription.ack_deadline_seconds, 10, 10 * _MINUTE)
    retention = subscription.message_retention_duration
    retention.seconds = retention.seconds or 7 * _DAY
    check_range("message_retention_duration", retention.seconds, 10 * _MINUTE, 31 * _DAY)
    if subscription.HasField("dead_letter_policy"):
        policy = subscription.dead_letter_policy
        policy.max_delivery_attempts = policy.max_delivery_attempts or 5
        check_range("max_delivery_attempts", policy.max_delivery_attempts, 5, 100, OutOfRange)


def check_range(
    field: str, value: int, minimum: int, maximum: int, error: type = InvalidArgument
) -> None:
    """Refuse a number that is out of bounds."""
    if not minimum <= value <= maximum:
        raise error(f"{field} out of bounds: {value}, allowed are {minimum} to {maximum}")


def check_publish_request(request: Any) -> None:
    """Refuse a publish request that breaks a limit; the error names the first one."""
    count, size = len(request.messages), request.ByteSize()
    if not count:
        raise InvalidArgument("No messages to publish")
    if count > _MAX_PUBLISH_MESSAGES:
        limit = _MAX_PUBLISH_MESSAGES
        raise InvalidArgument(f"Too many messages to publish: {count}, the limit is {limit}")
    if size > MAX_PUBLISH_BYTES:
        raise InvalidArgument(f"The request has {size} bytes, the limit is {MAX_PUBLISH_BYTES}")
    for position, message in enumerate(request.messages):
        if not message.data and not message.attributes:
            raise InvalidArgument(
                "Some messages are empty: a message has data or at least one attribute"
            )
        if problem := _attributes_problem(message.attributes):
            raise InvalidArgument(f"messages[{position}].attributes {problem}")


def _attributes_problem(attributes: Any) -> str | None:
    if len(attributes) > _MAX_ATTRIBUTES:
        return f"has {len(attributes)} entries, the limit is {_MAX_ATTRIBUTES}"
    for key, value in attributes.items():
        if not key or key.startswith("goog"):
            return f"has the key {key[:80]!r}: it is empty or begins with goog"
        for text, limit in ((key, _MAX_ATTRIBUTE_KEY_BYTES), (value, _MAX_ATTRIBUTE_VALUE_BYTES)):
            if len(text.encode()) > limit:
                return f"has more than {limit} bytes at {key[:80]!r}"
    return None


def _check_name(name: str, collection: str) -> None:
    match = _RESOURCE_NAME.fullmatch(name)
    if match is None or match[1] != collection:
        raise InvalidArgument(f"Invalid [{collection}] name: (name={name[:300]})")


def _refuse_others(message: Any, supported: Collection[str]) -> None:
    for field, _ in message.ListFields():
        if field.name not in supported:
            raise MethodNotImplemented(
                f"The embedded Pub/Sub server does not support {field.name}. Leave it out, or use "
                "Cloud Pub/Sub or Google's emulator (set PUBSUB_EMULATOR_HOST)."
            )
