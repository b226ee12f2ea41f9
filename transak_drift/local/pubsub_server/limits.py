"""What a request may ask for: names, settings of topics and subscriptions, sizes.

Sources: the documentation of the google.pubsub.v1 messages; Cloud Pub/Sub documentation, "Quotas
and limits" and "Guidelines to name a topic, subscription, schema, or snapshot". The texts of the
errors follow Google's emulator.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import timedelta

import grpc
import proto
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.rpc import PubSubError, invalid_argument

MAX_PUBLISH_BYTES = 10_000_000
MAX_ACK_DEADLINE_SECONDS = 600
MAX_RESPONSE_MESSAGES = 1000
# With the overhead below 4 MiB, the default receive limit of a gRPC channel. A single message may
# be larger.
MAX_RESPONSE_BYTES = 3_500_000

_MAX_PUBLISH_MESSAGES = 1000
_MAX_ATTRIBUTES = 100
_MAX_ATTRIBUTE_KEY_BYTES = 256
_MAX_ATTRIBUTE_VALUE_BYTES = 1024
_MAX_ORDERING_KEY_BYTES = 1024
_MAX_PAGE_SIZE = 1000
_MIN_ACK_DEADLINE_SECONDS = 10
_DEFAULT_ACK_DEADLINE_SECONDS = 10
_MIN_RETENTION = timedelta(minutes=10)
_MAX_RETENTION = timedelta(days=31)
_DEFAULT_RETENTION = timedelta(days=7)
_MIN_DELIVERY_ATTEMPTS = 5
_MAX_DELIVERY_ATTEMPTS = 100
_DEFAULT_DELIVERY_ATTEMPTS = 5

_TOPIC_SETTINGS = ("name", "labels")
_SUBSCRIPTION_SETTINGS = (
    "name",
    "topic",
    "labels",
    "ack_deadline_seconds",
    "message_retention_duration",
    "dead_letter_policy",
)
_PROJECT = re.compile(r"projects/[A-Za-z0-9.:_-]{1,100}", re.ASCII)
_RESOURCE_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}", re.ASCII)


def require_project_name(name: str) -> str:
    """Return `name` if it is `projects/<project>`."""
    if _PROJECT.fullmatch(name) is None:
        raise invalid_argument(f"Invalid [projects] name: (name={name[:300]})")
    return name


def require_resource_name(name: str, collection: str) -> str:
    """Return `name` if it is `projects/<project>/<collection>/<id>` with an allowed id."""
    parts = name.split("/")
    if (
        len(parts) != 4
        or parts[2] != collection
        or _PROJECT.fullmatch("/".join(parts[:2])) is None
        or _RESOURCE_ID.fullmatch(parts[3]) is None
    ):
        raise invalid_argument(f"Invalid [{collection}] name: (name={name[:300]})")
    return name


def page_size(requested: int) -> int:
    """Return how many entries a page has; 0 asks for the largest page (AIP-158)."""
    if requested < 0:
        raise invalid_argument(f"page_size is {requested}: it must not be negative")
    return min(requested or _MAX_PAGE_SIZE, _MAX_PAGE_SIZE)


def check_topic(topic: types.Topic) -> None:
    """Refuse settings of a topic that are not allowed or not supported."""
    require_resource_name(topic.name, "topics")
    _refuse_others(types.Topic.pb(topic), _TOPIC_SETTINGS)


def complete_subscription(subscription: types.Subscription) -> None:
    """Refuse settings that are not allowed or not supported, and fill in the defaults."""
    require_resource_name(subscription.name, "subscriptions")
    require_resource_name(subscription.topic, "topics")
    if not types.PushConfig.pb(subscription.push_config).ByteSize():
        types.Subscription.pb(subscription).ClearField("push_config")
    _refuse_others(types.Subscription.pb(subscription), _SUBSCRIPTION_SETTINGS)
    subscription.push_config = types.PushConfig()
    seconds = subscription.ack_deadline_seconds or _DEFAULT_ACK_DEADLINE_SECONDS
    if not _MIN_ACK_DEADLINE_SECONDS <= seconds <= MAX_ACK_DEADLINE_SECONDS:
        raise invalid_argument(
            f"ack_deadline_seconds must be between {_MIN_ACK_DEADLINE_SECONDS} and "
            f"{MAX_ACK_DEADLINE_SECONDS} seconds, not {seconds}"
        )
    subscription.ack_deadline_seconds = seconds
    retention = subscription.message_retention_duration or _DEFAULT_RETENTION
    if not _MIN_RETENTION <= retention <= _MAX_RETENTION:
        raise invalid_argument(
            f"message_retention_duration out of bounds: {retention.total_seconds():g} s, allowed "
            f"are {_MIN_RETENTION.total_seconds():g} to {_MAX_RETENTION.total_seconds():g} s"
        )
    subscription.message_retention_duration = retention
    if subscription.dead_letter_policy:
        policy = subscription.dead_letter_policy
        policy.max_delivery_attempts = _delivery_attempts(policy.max_delivery_attempts)


def check_lease_seconds(seconds: int) -> None:
    """Refuse a new ack deadline of leased messages outside 0 to 600 seconds."""
    if seconds < 0:
        raise invalid_argument(f"Ack deadline cannot be negative, it is {seconds}")
    if seconds > MAX_ACK_DEADLINE_SECONDS:
        raise invalid_argument(
            f"Ack deadline cannot be more than {MAX_ACK_DEADLINE_SECONDS} seconds, it is {seconds}"
        )


def check_publish_request(request: types.PublishRequest) -> None:
    """Refuse a publish request that breaks a limit; the error names the first one."""
    content = types.PublishRequest.pb(request)
    if not content.messages:
        raise invalid_argument("No messages to publish")
    if len(content.messages) > _MAX_PUBLISH_MESSAGES:
        raise invalid_argument(
            f"Too many messages to publish: {len(content.messages)}, the limit is "
            f"{_MAX_PUBLISH_MESSAGES}. Publish them in several requests."
        )
    size = content.ByteSize()
    if size > MAX_PUBLISH_BYTES:
        raise invalid_argument(
            f"The publish request has {size} bytes, the limit is {MAX_PUBLISH_BYTES}. Publish "
            "fewer messages in a request, or store the body elsewhere and publish where it is."
        )
    for position, message in enumerate(content.messages):
        if message.attributes:
            _check_attributes(f"messages[{position}].attributes", message.attributes)
        elif not message.data:
            raise invalid_argument(
                "Some messages are empty: a message has data or at least one attribute"
            )
        if len(message.ordering_key.encode()) > _MAX_ORDERING_KEY_BYTES:
            raise invalid_argument(
                f"messages[{position}].ordering_key has more than {_MAX_ORDERING_KEY_BYTES} bytes"
            )


def _check_attributes(where: str, attributes: Mapping[str, str]) -> None:
    if len(attributes) > _MAX_ATTRIBUTES:
        raise invalid_argument(
            f"{where} has {len(attributes)} entries, the limit is {_MAX_ATTRIBUTES}"
        )
    for key, value in attributes.items():
        if not key or key.startswith("goog"):
            raise invalid_argument(
                f"{where} has the key {key[:80]!r}: a key is not empty and does not begin with goog"
            )
        if len(key.encode()) > _MAX_ATTRIBUTE_KEY_BYTES:
            raise invalid_argument(
                f"{where} has the key {key[:80]!r}... of more than {_MAX_ATTRIBUTE_KEY_BYTES} bytes"
            )
        if len(value.encode()) > _MAX_ATTRIBUTE_VALUE_BYTES:
            raise invalid_argument(
                f"{where}[{key!r}] has more than {_MAX_ATTRIBUTE_VALUE_BYTES} bytes"
            )


def _refuse_others(content: proto.Message, supported: Collection[str]) -> None:
    for field, _ in content.ListFields():
        if field.name not in supported:
            raise PubSubError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"The embedded Pub/Sub server does not support {field.name}. Leave it out, or use "
                "Cloud Pub/Sub or Google's emulator (set PUBSUB_EMULATOR_HOST).",
            )


def _delivery_attempts(attempts: int) -> int:
    attempts = attempts or _DEFAULT_DELIVERY_ATTEMPTS
    for outside, size, bound, limit in (
        (attempts < _MIN_DELIVERY_ATTEMPTS, "small", "minimum", _MIN_DELIVERY_ATTEMPTS),
        (attempts > _MAX_DELIVERY_ATTEMPTS, "large", "maximum", _MAX_DELIVERY_ATTEMPTS),
    ):
        if outside:
            raise PubSubError(
                grpc.StatusCode.OUT_OF_RANGE,
                f"The value for max_delivery_attempts is too {size}. You passed {attempts} in the "
                f"request, but the {bound} value is {limit}.",
            )
    return attempts
