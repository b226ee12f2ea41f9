"""The form of a dead letter: a rejected message, why it was rejected, and where it comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from google.pubsub_v1 import types

from transak_drift.trigger.message import ReceivedMessage

# Resource limits of a publish request ("Pub/Sub quotas and limits").
MAX_PUBLISH_MESSAGES = 1_000
MAX_PUBLISH_BYTES = 10_000_000
MAX_ATTRIBUTE_VALUE_BYTES = 1_024
_MAX_ATTRIBUTES = 100
# A message also counts its id and its publish time; the request, the name of its topic.
_MESSAGE_OVERHEAD_BYTES = 64
_REQUEST_OVERHEAD_BYTES = 1_000
_MAX_MESSAGE_BYTES = MAX_PUBLISH_BYTES - _REQUEST_OVERHEAD_BYTES - _MESSAGE_OVERHEAD_BYTES
_MAX_REDUCED_BODY_BYTES = 100_000

SOURCE_MESSAGE_ATTRIBUTE = "source_message_id"
_REASON = "reason"
_DETAIL = "detail"
_SOURCE_SUBSCRIPTION = "source_subscription"
_BODY_BYTES = "source_body_bytes"
_OWN_ATTRIBUTES = (_REASON, _DETAIL, SOURCE_MESSAGE_ATTRIBUTE, _SOURCE_SUBSCRIPTION, _BODY_BYTES)
# Pub/Sub marks what it forwards itself ("Dead-letter topics").
_PUBSUB_PREFIX = "CloudPubSubDeadLetter"
_PUBSUB_REASON = "max_delivery_attempts"


@dataclass(frozen=True, slots=True)
class DeadLetterMessage:
    """One message in the dead-letter topic, forwarded at `publish_time` (UTC).

    The reason is `max_delivery_attempts` where Pub/Sub forwarded it, and `unknown` where the
    trigger did not write it.
    """

    message: ReceivedMessage
    reason: str
    detail: str
    source_message_id: str
    publish_time: datetime


def received_message(delivery: Any) -> ReceivedMessage:
    """Return what the trigger reads of a google.pubsub.v1.ReceivedMessage."""
    message = delivery.message
    # Thousands of messages a tick have no attributes.
    further = (dict(message.attributes),) if message.attributes else ()
    return ReceivedMessage(message.message_id, delivery.ack_id, message.data, *further)


def dead_letter(
    message: ReceivedMessage, reason: str, detail: str, source_subscription: str
) -> Any:
    """Return the `PubsubMessage` that stands for a rejected message.

    Attributes that may not be published are left out, and a body for which a request has no room
    is cut at its end; `source_body_bytes` then has its length.
    """
    kept = _publishable(message.attributes, without=_OWN_ATTRIBUTES)
    attributes = dict(islice(kept.items(), _MAX_ATTRIBUTES - len(_OWN_ATTRIBUTES))) | {
        _REASON: _shortened(reason),
        _DETAIL: _shortened(detail),
        SOURCE_MESSAGE_ATTRIBUTE: message.message_id,
        _SOURCE_SUBSCRIPTION: source_subscription,
    }
    letter = types.PubsubMessage.pb()(data=message.data, attributes=attributes)
    return _cut_to(letter, _MAX_MESSAGE_BYTES)


def reduced(letter: Any) -> Any:
    """Return a dead letter with its own attributes and the beginning of the body only.

    Nothing of the rejected message is left in it that a server could refuse.
    """
    own = {key: letter.attributes[key] for key in _OWN_ATTRIBUTES if key in letter.attributes}
    smaller = types.PubsubMessage.pb()(data=letter.data, attributes=own)
    return _cut_to(smaller, _MAX_REDUCED_BODY_BYTES)


def read_dead_letter(delivery: Any) -> DeadLetterMessage:
    """Read a message of the dead-letter topic.

    Who may publish to the trigger topic may set any attribute, and Pub/Sub keeps them when it
    forwards a message itself: its marks come first. The trigger never passes such marks on.
    """
    message = received_message(delivery)
    attributes = message.attributes
    reason, detail = "unknown", "not written by the trigger"
    source_message_id = message.message_id
    if _is_forwarded_by_pubsub(attributes):
        reason, detail = _PUBSUB_REASON, "never settled by the sensor; forwarded by Pub/Sub"
    elif _SOURCE_SUBSCRIPTION in attributes:
        reason = attributes.get(_REASON, reason)
        detail = attributes.get(_DETAIL, "")
        source_message_id = attributes.get(SOURCE_MESSAGE_ATTRIBUTE, source_message_id)
    published = delivery.message.publish_time.ToDatetime(UTC)
    return DeadLetterMessage(message, reason, detail, source_message_id, published)


def replayed_message(letter: DeadLetterMessage) -> Any:
    """Return the `PubsubMessage` that the rejected message was."""
    attributes = letter.message.attributes
    added = () if _is_forwarded_by_pubsub(attributes) else _OWN_ATTRIBUTES
    kept = _publishable(attributes, without=added)
    if not letter.message.data and not kept:
        # Pub/Sub refuses an empty message, and with it all the others of a request.
        kept = {SOURCE_MESSAGE_ATTRIBUTE: letter.source_message_id}
    return types.PubsubMessage.pb()(data=letter.message.data, attributes=kept)


def publish_batches(messages: Sequence[Any]) -> Iterator[list[Any]]:
    """Split messages into as few publish requests as the limits allow: all of a message counts."""
    batch: list[Any] = []
    size = _REQUEST_OVERHEAD_BYTES
    for message in messages:
        length = message.ByteSize() + _MESSAGE_OVERHEAD_BYTES
        if batch and (len(batch) == MAX_PUBLISH_MESSAGES or size + length > MAX_PUBLISH_BYTES):
            yield batch
            batch, size = [], _REQUEST_OVERHEAD_BYTES
        batch.append(message)
        size += length
    if batch:
        yield batch


def _is_forwarded_by_pubsub(attributes: Mapping[str, str]) -> bool:
    return any(key.startswith(_PUBSUB_PREFIX) for key in attributes)


def _publishable(attributes: Mapping[str, str], without: Collection[str]) -> dict[str, str]:
    return {
        key: value
        for key, value in attributes.items()
        if key not in without
        # What Pub/Sub has delivered is in its limits, but for what it sets itself.
        and not key.startswith(("goog", _PUBSUB_PREFIX))
    }


def _cut_to(letter: Any, max_bytes: int) -> Any:
    size = len(letter.data)
    if letter.ByteSize() > max_bytes:
        if _BODY_BYTES not in letter.attributes:
            letter.attributes[_BODY_BYTES] = str(size)
        letter.data = letter.data[: size - (letter.ByteSize() - max_bytes)]
    return letter


def _shortened(text: str) -> str:
    return text.encode()[:MAX_ATTRIBUTE_VALUE_BYTES].decode(errors="ignore")
