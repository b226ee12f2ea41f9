"""What a request may ask for: names, settings of topics and subscriptions, sizes.

Sources: the documentation of the google.pubsub.v1 messages; Cloud Pub/Sub documentation, "Quotas
and limits" and "Guidelines to name a topic, subscription, schema, or snapshot". The texts of the
errors follow Google's emulator.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta

import proto
from google.api_core.exceptions import InvalidArgument, MethodNotImplemented, OutOfRange
from google.pubsub_v1 import types

MAX_PUBLISH_BYTES = 10_000_000
MAX_RESPONSE_MESSAGES = 1000
# With the overhead below 4 MiB, the default receive limit of a gRPC channel. A single message may
# be larger.
MAX_RESPONSE_BYTES = 3_500_000

_MAX_PAGE_SIZE = 1000
_MAX_PUBLISH_MESSAGES = 1000
_MAX_ATTRIBUTES = 100
_MAX_ATTRIBUTE_KEY_BYTES = 256
_MAX_ATTRIBUTE_VALUE_BYTES = 1024
_MAX_ORDERING_KEY_BYTES = 1024
_MIN_ACK_DEADLINE_SECONDS = _DEFAULT_ACK_DEADLINE_SECONDS = 10
_MAX_ACK_DEADLINE_SECONDS = 600
_MIN_RETENTION = timedelta(minutes=10)
_MAX_RETENTION = timedelta(days=31)
_DEFAULT_RETENTION = timedelta(days=7)
_MIN_DELIVERY_ATTEMPTS = _DEFAULT_DELIVERY_ATTEMPTS = 5
_MAX_DELIVERY_ATTEMPTS = 100

_TOPIC_SETTINGS = ("name", "labels")
_SUBSCRIPTION_SETTINGS = (
    *("name", "topic", "labels"),
    *("ack_deadline_seconds", "message_retention_duration", "dead_letter_policy"),
)
_PROJECT = "projects/[A-Za-z0-9.:_-]{1,100}"
_RESOURCE_NAME = re.compile(_PROJECT + r"/(\w+)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}", re.ASCII)


def require_project_name(name: str) -> str:
    """Return `name` if it is `projects/<project>`."""
    if re.fullmatch(_PROJECT, name) is None:
        raise InvalidArgument(f"Invalid [projects] name: (name={name[:300]})")
    return name


def page_size(requested: int) -> int:
    """Return how many entries a page has; 0 asks for the largest page (AIP-158)."""
    if requested < 0:
        raise InvalidArgument(f"page_size is {requested}: it must not be negative")
    return min(requested or _MAX_PAGE_SIZE, _MAX_PAGE_SIZE)


def require_resource_name(name: str, collection: str) -> str:
    """Return `name` if it is `projects/<project>/<collection>/<id>` with an allowed id."""
    match = _RESOURCE_NAME.fullmatch(name)
    if match is None or match[1] != collection:
        raise InvalidArgument(f"Invalid [{collection}] name: (name={name[:300]})")
    return name


def check_topic(topic: types.Topic) -> None:
    """Refuse settings of a topic that are not allowed or not supported."""
    require_resource_name(topic.name, "topics")
    _refuse_others(types.Topic.pb(topic), _TOPIC_SETTINGS)


def complete_subscription(subscription: types.Subscription) -> None:
    """Refuse settings that are not allowed or not supported, and fill in the defaults."""
    require_resource_name(subscription.name, "subscriptions")
    require_resource_name(subscription.topic, "topics")
    content = types.Subscription.pb(subscription)
    if not content.push_config.ByteSize():
        content.ClearField("push_config")
    _refuse_others(content, _SUBSCRIPTION_SETTINGS)
    subscription.push_config = types.PushConfig()
    seconds = subscription.ack_deadline_seconds or _DEFAULT_ACK_DEADLINE_SECONDS
    if not _MIN_ACK_DEADLINE_SECONDS <= seconds <= _MAX_ACK_DEADLINE_SECONDS:
        raise InvalidArgument(
            f"ack_deadline_seconds must be between {_MIN_ACK_DEADLINE_SECONDS} and "
            f"{_MAX_ACK_DEADLINE_SECONDS} seconds, not {seconds}"
        )
    subscription.ack_deadline_seconds = seconds
    retention = subscription.message_retention_duration or _DEFAULT_RETENTION
    if not _MIN_RETENTION <= retention <= _MAX_RETENTION:
        raise InvalidArgument(
            f"message_retention_duration out of bounds: {retention.total_seconds():g} s, allowed "
            f"are {_MIN_RETENTION.total_seconds():g} to {_MAX_RETENTION.total_seconds():g} s"
        )
    subscription.message_retention_duration = retention
    if policy := subscription.dead_letter_policy:
        attempts = policy.max_delivery_attempts or _DEFAULT_DELIVERY_ATTEMPTS
        bound = min(max(attempts, _MIN_DELIVERY_ATTEMPTS), _MAX_DELIVERY_ATTEMPTS)
        if attempts != bound:
            size, name = ("small", "minimum") if attempts < bound else ("large", "maximum")
            raise OutOfRange(
                f"The value for max_delivery_attempts is too {size}. You passed {attempts} in the "
                f"request, but the {name} value is {bound}."
            )
        policy.max_delivery_attempts = attempts


def check_lease_seconds(seconds: int) -> None:
    """Refuse a new ack deadline of leased messages outside 0 to 600 seconds."""
    if seconds < 0:
        raise InvalidArgument(f"Ack deadline cannot be negative, it is {seconds}")
    if seconds > _MAX_ACK_DEADLINE_SECONDS:
        raise InvalidArgument(
            f"Ack deadline cannot be more than {_MAX_ACK_DEADLINE_SECONDS} seconds, it is {seconds}"
        )


def check_publish_request(request: types.PublishRequest) -> None:
    """Refuse a publish request that breaks a limit; the error names the first one."""
    content = types.PublishRequest.pb(request)
    if not content.messages:
        raise InvalidArgument("No messages to publish")
    if len(content.messages) > _MAX_PUBLISH_MESSAGES:
        raise InvalidArgument(
            f"Too many messages to publish: {len(content.messages)}, the limit is "
            f"{_MAX_PUBLISH_MESSAGES}. Publish them in several requests."
        )
    if (size := content.ByteSize()) > MAX_PUBLISH_BYTES:
        raise InvalidArgument(
            f"The publish request has {size} bytes, the limit is {MAX_PUBLISH_BYTES}. Publish "
            "fewer messages in a request, or store the body elsewhere and publish where it is."
        )
    for position, message in enumerate(content.messages):
        if problem := _message_problem(message):
            raise InvalidArgument(f"messages[{position}]{problem}")
        if not message.data and not message.attributes:
            raise InvalidArgument(
                "Some messages are empty: a message has data or at least one attribute"
            )


def _message_problem(message: proto.Message) -> str | None:
    if len(message.ordering_key.encode()) > _MAX_ORDERING_KEY_BYTES:
        return f".ordering_key has more than {_MAX_ORDERING_KEY_BYTES} bytes"
    if len(message.attributes) > _MAX_ATTRIBUTES:
        return f".attributes has {len(message.attributes)} entries, the limit is {_MAX_ATTRIBUTES}"
    for key, value in message.attributes.items():
        if not key or key.startswith("goog"):
            return f".attributes has the key {key[:80]!r}: it is empty or begins with goog"
        if len(key.encode()) > _MAX_ATTRIBUTE_KEY_BYTES:
            return f".attributes has a key above {_MAX_ATTRIBUTE_KEY_BYTES} bytes: {key[:80]!r}..."
        if len(value.encode()) > _MAX_ATTRIBUTE_VALUE_BYTES:
            return f".attributes[{key!r}] has more than {_MAX_ATTRIBUTE_VALUE_BYTES} bytes"
    return None


def _refuse_others(content: proto.Message, supported: Collection[str]) -> None:
    for field, _ in content.ListFields():
        if field.name not in supported:
            raise MethodNotImplemented(
                f"The embedded Pub/Sub server does not support {field.name}. Leave it out, or use "
                "Cloud Pub/Sub or Google's emulator (set PUBSUB_EMULATOR_HOST)."
            )
