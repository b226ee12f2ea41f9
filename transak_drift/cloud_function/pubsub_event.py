"""The Pub/Sub message in an Eventarc CloudEvent.

Source: `google.events.cloud.pubsub.v1.MessagePublishedData` in the CloudEvents schemas that Google
publishes, type `google.cloud.pubsub.topic.v1.messagePublished`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from cloudevents.http import CloudEvent
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError

from transak_drift.trigger.message import ReceivedMessage

MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """A message as Eventarc delivers it, and the subscription that it made for the function.

    There is no ack id: the function's answer acknowledges the message. Of an event that carries no
    message of our topic, `problem` says why, and the message is the whole event.
    """

    message: ReceivedMessage
    subscription: str | None = None
    publish_time: datetime | None = None
    problem: str = ""


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
    """Take the message out of an event of the trigger topic."""
    data = event.data
    whole = data if isinstance(data, bytes) else json.dumps(data, default=str).encode()
    unread = ReceivedMessage(message_id=str(event["id"])[:200], ack_id="", data=whole)
    expected = {"type": MESSAGE_PUBLISHED, "source": f"//pubsub.googleapis.com/{topic}"}
    for attribute, value in expected.items():
        if event[attribute] != value:
            problem = f"{attribute} is {str(event[attribute])[:200]!a}, expected {value}"
            return PushedMessage(unread, problem=problem)
    try:
        published = _MessagePublished.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, ("data", *first["loc"])))
        return PushedMessage(unread, problem=f"{path}: {first['msg']}")
    found = published.message
    message = ReceivedMessage(found.message_id, "", found.data, found.attributes)
    return PushedMessage(message, published.subscription, found.publish_time)
