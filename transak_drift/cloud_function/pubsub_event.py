"""The Pub/Sub message in an Eventarc CloudEvent.

Source: `google.events.cloud.pubsub.v1.MessagePublishedData` in the CloudEvents schemas that Google
publishes, type `google.cloud.pubsub.topic.v1.messagePublished`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from cloudevents.http import CloudEvent
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError

from transak_drift.trigger.message import ReceivedMessage

MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


class UnexpectedEventError(ValueError):
    """An event that carries no Pub/Sub message of our topic, and the whole event as a message."""

    def __init__(self, detail: str, event_as_message: ReceivedMessage) -> None:
        self.event_as_message = event_as_message
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """A message as Eventarc delivers it, and the subscription that it made for the function.

    There is no ack id: the function's answer acknowledges the message.
    """

    message: ReceivedMessage
    subscription: str | None
    publish_time: datetime | None = None


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise ValueError("is not base64") from None


class _Message(BaseModel):
    data: Annotated[bytes, BeforeValidator(_decoded)] = b""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = Field(alias="messageId", min_length=1)
    publish_time: AwareDatetime | None = Field(default=None, alias="publishTime")


class _MessagePublished(BaseModel):
    message: _Message
    subscription: str | None = None


def read_pushed_message(event: CloudEvent, topic: str) -> PushedMessage:
    """Take the message out of an event of the trigger topic.

    Raises:
        UnexpectedEventError: the event is of another type or topic, or its data has another form.
    """
    expected = {"type": MESSAGE_PUBLISHED, "source": f"//pubsub.googleapis.com/{topic}"}
    for attribute, value in expected.items():
        if event[attribute] != value:
            detail = f"{attribute} is {str(event[attribute])[:200]!a}, expected {value}"
            raise UnexpectedEventError(detail, _whole_event(event))
    try:
        published = _MessagePublished.model_validate(event.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, ("data", *first["loc"])))
        raise UnexpectedEventError(f"{path}: {first['msg']}", _whole_event(event)) from None
    found = published.message
    message = ReceivedMessage(found.message_id, "", found.data, found.attributes)
    return PushedMessage(message, published.subscription, found.publish_time)


def _whole_event(event: CloudEvent) -> ReceivedMessage:
    data = event.data
    if isinstance(data, bytes):
        body = data
    elif isinstance(data, Mapping | list):
        body = json.dumps(data, default=str).encode()
    else:
        body = str(data).encode(errors="backslashreplace")
    return ReceivedMessage(message_id=str(event["id"])[:200], ack_id="", data=body)
