"""What a publish request may hold.

Source: Cloud Pub/Sub documentation, "Pub/Sub quotas and limits", resource limits.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.errors import invalid_argument

MAXIMUM_PUBLISH_MESSAGES = 1000
MAXIMUM_PUBLISH_BYTES = 10_000_000
_MAXIMUM_ATTRIBUTES = 100
_MAXIMUM_ATTRIBUTE_KEY_BYTES = 256
_MAXIMUM_ATTRIBUTE_VALUE_BYTES = 1024
_MAXIMUM_ORDERING_KEY_BYTES = 1024


def check_publish_request(request: types.PublishRequest) -> None:
    """Check a publish request against the service's limits.

    Raises:
        PubSubError: INVALID_ARGUMENT; the first message that breaks a limit, and which limit.
    """
    content = types.PublishRequest.pb(request)
    if not content.messages:
        raise invalid_argument("No messages to publish")
    if len(content.messages) > MAXIMUM_PUBLISH_MESSAGES:
        raise invalid_argument(
            f"Too many messages to publish: {len(content.messages)}, the limit is "
            f"{MAXIMUM_PUBLISH_MESSAGES}. Publish them in several requests."
        )
    size = content.ByteSize()
    if size > MAXIMUM_PUBLISH_BYTES:
        raise invalid_argument(
            f"The publish request has {size} bytes, the limit is {MAXIMUM_PUBLISH_BYTES}. Publish "
            "fewer messages in a request, or store the body elsewhere and publish where it is."
        )
    if any(not message.data and not message.attributes for message in content.messages):
        raise invalid_argument(
            "Some messages are empty: a message has data or at least one attribute"
        )
    for position, message in enumerate(content.messages):
        _check_attributes(position, list(message.attributes.items()))
        if len(message.ordering_key.encode()) > _MAXIMUM_ORDERING_KEY_BYTES:
            raise invalid_argument(
                f"messages[{position}].ordering_key has more than "
                f"{_MAXIMUM_ORDERING_KEY_BYTES} bytes"
            )


def _check_attributes(position: int, attributes: Sequence[tuple[str, str]]) -> None:
    where = f"messages[{position}].attributes"
    if len(attributes) > _MAXIMUM_ATTRIBUTES:
        raise invalid_argument(
            f"{where} has {len(attributes)} entries, the limit is {_MAXIMUM_ATTRIBUTES}"
        )
    for key, value in attributes:
        if not key or key.startswith("goog"):
            raise invalid_argument(
                f"{where} has the key {key[:80]!r}: a key is not empty and does not begin with goog"
            )
        if len(key.encode()) > _MAXIMUM_ATTRIBUTE_KEY_BYTES:
            raise invalid_argument(
                f"{where} has the key {key[:80]!r}... of more than "
                f"{_MAXIMUM_ATTRIBUTE_KEY_BYTES} bytes"
            )
        if len(value.encode()) > _MAXIMUM_ATTRIBUTE_VALUE_BYTES:
            raise invalid_argument(
                f"{where}[{key!r}] has more than {_MAXIMUM_ATTRIBUTE_VALUE_BYTES} bytes"
            )
