"""What the notification sensor must remember from one tick to the next: its cursor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_TOLD = 4_000
MAX_AWAITED = 1_000


class AwaitedTraining(BaseModel):
    """A training whose end is to be told, and since when its request is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_end: datetime | None
    since: datetime


class Refusal(BaseModel):
    """A channel's refusal that no repetition fixes, and when it is tried again, UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: str
    again_at: datetime


class ChannelState(BaseModel):
    """How far one channel is; each channel has its own, so that none waits for another.

    Args:
        seen: storage id of the newest observation that is dealt with, or None before the first
            tick.
        told: digests of the notifications that were sent, oldest first; bounded.
        sent_at: when the newest of them were sent, UTC; bounded by the caller's rate.
        awaited: by drift event, the trainings whose end is to be told; bounded.
        pause_until: before this time nothing is sent, as the service asked, UTC.
        refusal: why nothing can be sent at present.
    """

    model_config = ConfigDict(extra="forbid")

    seen: int | None = Field(default=None, ge=0)
    told: list[str] = Field(default_factory=list)
    sent_at: list[datetime] = Field(default_factory=list)
    awaited: dict[str, AwaitedTraining] = Field(default_factory=dict)
    pause_until: datetime | None = None
    refusal: Refusal | None = None

    def has_told(self, identity: str) -> bool:
        """Tell whether a notification was sent."""
        return _digest(identity) in self.told

    def tell(self, identities: Iterable[str], now: datetime) -> None:
        """Remember notifications that were sent as one message."""
        digests = dict.fromkeys(_digest(identity) for identity in identities)
        self.told = [*(one for one in self.told if one not in digests), *digests][-MAX_TOLD:]
        self.sent_at.append(now)

    def room(self, now: datetime, messages: int, period: timedelta) -> int:
        """Return how many messages may still be sent, and forget those before the period."""
        self.sent_at = [time for time in self.sent_at if now - time < period]
        return max(0, messages - len(self.sent_at))

    def await_training(self, key: str, training: AwaitedTraining) -> None:
        """Remember a training whose end is to be told; the oldest gives way."""
        self.awaited.setdefault(key, training)
        while len(self.awaited) > MAX_AWAITED:
            del self.awaited[next(iter(self.awaited))]


class NotificationState(BaseModel):
    """The state of every channel by its name; serialised as the sensor's cursor."""

    model_config = ConfigDict(extra="forbid")

    channels: dict[str, ChannelState] = Field(default_factory=dict)

    def to_cursor(self) -> str:
        """Return the state as text."""
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
