"""What the sensor must remember from one tick to the next: its cursor."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transak_drift.drift.drift_event import DriftEvent


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RequestedEvent(_Record):
    """A drift event whose training run has been requested, but not yet seen in run storage.

    Args:
        event: the drift event.
        since: when the training was first requested, UTC.
        messages: ack id by message id, of each message that waits for the run.
    """

    event: DriftEvent
    since: datetime
    messages: dict[str, str] = Field(default_factory=dict)


class HeldEvent(_Record):
    """A drift event that the retrain policy holds back.

    Args:
        event: the drift event.
        reason: why, at present.
        since: when it was first held, UTC.
    """

    event: DriftEvent
    reason: str
    since: datetime


class UnreadableCursorError(ValueError):
    """The stored cursor is not the state of this version of the project."""


class TriggerState(_Record):
    """The sensor's memory; serialised as its cursor.

    Args:
        requested: by drift event key.
        held: by drift event key, oldest first.
        recorded: ack id by message id of messages whose outcome the last tick recorded; they are
            acknowledged once that record is durable, which is on the next tick.
        superseded: keys of the drift events that a later training answered, oldest first, so that
            a late message of one does not train again.
    """

    requested: dict[str, RequestedEvent] = Field(default_factory=dict)
    held: dict[str, HeldEvent] = Field(default_factory=dict)
    recorded: dict[str, str] = Field(default_factory=dict)
    superseded: list[str] = Field(default_factory=list)

    @property
    def waiting_messages(self) -> int:
        """How many messages are leased and wait for their acknowledgement."""
        return len(self.recorded) + sum(len(e.messages) for e in self.requested.values())

    def to_cursor(self) -> str:
        """Return the state as text."""
        return self.model_dump_json()

    @classmethod
    def from_cursor(cls, cursor: str | None) -> TriggerState:
        """Read the state back.

        Args:
            cursor: text of `to_cursor`, or None before the first tick.

        Returns:
            The state.

        Raises:
            UnreadableCursorError: the cursor is anything else. It is not passed over, because the
                messages of held events are acknowledged: only the cursor still knows them.
        """
        if not cursor:
            return cls()
        try:
            return cls.model_validate_json(cursor)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "(cursor)"
            raise UnreadableCursorError(
                f"the cursor {cursor[:80]!a} cannot be read: {place}: {first['msg'][:200]}; put "
                "the last good cursor back, or reset it and publish the drift of each held event "
                "again"
            ) from None
