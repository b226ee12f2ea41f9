"""Ack ids: opaque tokens, one for each delivery of a message to a subscription."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import NamedTuple

# With the checksum 24 bytes: 32 characters of base64 without padding, so that no two texts stand
# for the same bytes.
_LAYOUT = struct.Struct(">QQI")


class DeliveryKey(NamedTuple):
    """Which delivery an ack id stands for.

    The attempt makes it unique: it grows with each delivery and is never used again.
    """

    subscription_id: int
    message_id: int
    delivery_attempt: int


def encode_ack_id(key: DeliveryKey) -> str:
    """Return the ack id of a delivery: base64url of the key and its CRC-32."""
    content = _LAYOUT.pack(*key)
    return base64.urlsafe_b64encode(content + zlib.crc32(content).to_bytes(4, "big")).decode()


def decode_ack_id(ack_id: str) -> DeliveryKey:
    """Return the delivery that an ack id stands for.

    Raises:
        ValueError: this server never gave out such an ack id.
    """
    try:
        content = base64.b64decode(ack_id.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64url") from error
    body, checksum = content[:-4], content[-4:]
    if len(body) != _LAYOUT.size or zlib.crc32(body).to_bytes(4, "big") != checksum:
        raise ValueError("not of this server's form")
    return DeliveryKey(*_LAYOUT.unpack(body))
