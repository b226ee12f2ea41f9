"""A message as pulled from the trigger subscription, whatever client pulled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ACK_DEADLINE_SECONDS = 60
"""Ack deadline of the trigger subscription, as Terraform and the local platform create it."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One delivery of a message.

    Args:
        message_id: id given by Pub/Sub at publication; the same at each delivery.
        ack_id: id of this delivery; it expires with the ack deadline.
        data: the body.
        attributes: the message's attributes.
    """

    message_id: str
    ack_id: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
