"""CloudEvents as Eventarc makes them of Pub/Sub messages."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cloudevents.http import CloudEvent

from transak_drift.cloud_function.drift_message_handler import MESSAGE_PUBLISHED

TOPIC = "projects/af-finanzen/topics/ps-transak-i1-train-trigger"
SUBSCRIPTION = "projects/af-finanzen/subscriptions/eventarc-europe-west6-cf-transak-i1-sub-123"
_numbers = itertools.count(1)


def pubsub_event(
    body: bytes,
    *,
    message_id: str | None = None,
    attributes: Mapping[str, str] | None = None,
    topic: str = TOPIC,
    publish_time: str | None = None,
) -> CloudEvent:
    """Return the event that delivers a message; by default a new one that is published now."""
    number = message_id or str(10_000 + next(_numbers))
    published = publish_time or datetime.now(UTC).isoformat()
    message: dict[str, Any] = {
        "data": base64.b64encode(body).decode("ascii"),
        "messageId": number,
        "message_id": number,
        "publishTime": published,
        "publish_time": published,
    }
    if attributes:
        message["attributes"] = dict(attributes)
    return event_with_data(
        {"message": message, "subscription": SUBSCRIPTION}, event_id=number, topic=topic
    )


def event_with_data(
    data: Any, *, event_id: str = "1", topic: str = TOPIC, event_type: str = MESSAGE_PUBLISHED
) -> CloudEvent:
    """Return an event with any data."""
    return CloudEvent(
        {
            "id": event_id,
            "source": f"//pubsub.googleapis.com/{topic}",
            "type": event_type,
            "time": "2026-05-02T00:10:00.123Z",
            "datacontenttype": "application/json",
        },
        data,
    )
