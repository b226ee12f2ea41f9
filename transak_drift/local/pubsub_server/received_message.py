"""Leased messages in the form of the protocol."""

from __future__ import annotations

from typing import TypeVar

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.clock import MICROSECONDS
from transak_drift.local.pubsub_server.delivery_store import LeasedMessage

MAXIMUM_RESPONSE_MESSAGES = 1000
MAXIMUM_RESPONSE_BYTES = 3_500_000
"""Bytes of content in one answer: with the overhead below 4 MiB, the default receive limit of a
gRPC channel. A single message may be larger (up to 10 MB)."""

_Response = TypeVar("_Response", types.PullResponse, types.StreamingPullResponse)


def fill_response(response: _Response, leased: list[LeasedMessage]) -> _Response:
    """Add leased messages to an answer and return it."""
    received_messages = type(response).pb(response).received_messages
    for lease in leased:
        received = received_messages.add(ack_id=lease.ack_id)
        if lease.counts_attempts:
            received.delivery_attempt = lease.delivery_attempt
        received.message.ParseFromString(lease.content)
        received.message.message_id = str(lease.message_id)
        seconds, microseconds = divmod(lease.publish_time, MICROSECONDS)
        received.message.publish_time.seconds = seconds
        received.message.publish_time.nanos = microseconds * 1000
    return response
