"""What the notification sensor must remember from one tick to the next: its cursor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, Field, ValidationError

MAX_SENT = 4_000


class Pause(BaseModel, extra="forbid", frozen=True):
    """Until when a channel is sent nothing, UTC, and why; a refusal is for a person to fix."""

    until: datetime
    reason: str
    is_refusal: bool = False


# An earlier version remembered more: what it sent must not be sent again for that.
class ChannelState(BaseModel, extra="ignore"):
    """How far one channel is; each channel has its own, so that none waits for another.

    Args:
        seen: storage id of the newest observation that is dealt with, or None before the first
            tick.
        ended_until: trainings that ended before this time are dealt with, UTC.
        told: digests of the notifications that were sent, oldest first; bounded.
        sent_at: when the newest of them were sent, UTC; bounded by the caller's rate.
        pause: why nothing can be sent at present.
    """

    seen: int | None = Field(default=None, ge=0)
    ended_until: datetime | None = None
    told: list[str] = Field(default_factory=list)
    sent_at: list[datetime] = Field(default_factory=list)
    pause: Pause | None = None

    def was_sent(self, identity: str) -> bool:
        return _digest(identity) in self.told

    def add_sent(self, identities: Iterable[str], now: datetime) -> None:
        """Remember notifications that were sent as one message."""
        digests = dict.fromkeys(_digest(identity) for identity in identities)
        self.told = [*(one for one in self.told if one not in digests), *digests][-MAX_SENT:]
        self.sent_at.append(now)

    def room(self, now: datetime, messages: int, period: timedelta) -> int:
        """Return how many messages may still be sent, and forget those before the period."""
        self.sent_at = [time for time in self.sent_at if now - time < period]
        return max(0, messages - len(self.sent_at))


class NotificationState(BaseModel, extra="forbid"):
    """The state of every channel by its name; serialised as the sensor's cursor."""

    channels: dict[str, ChannelState] = Field(default_factory=dict)

    def to_cursor(self) -> str:
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> NotificationState:
        """Read the state back.

        An unreadable cursor begins afresh: what happened lately is told again, which is better than
        not at all.
        """
        try:
            return cls.model_validate_json(cursor) if cursor else cls()
        except ValidationError:
            return cls()


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
