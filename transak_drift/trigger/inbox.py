"""The inbox of the trigger: what the event log holds of each drift event, and what is still open.

Every step of a drift event is a `TriggerRecord` in the event log, written before anything follows
from it. The inbox is the sum of the records; the sensor's cursor only saves reading them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeGuard

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from transak_drift.drift.drift_event import DriftEvent
from transak_drift.training.labels import LabelVerdict

MAX_OPEN_EVENTS = 500
MAX_ANSWERED_EVENTS = 500
MAX_DECLINED_EVENTS = 2_000
MAX_TRAINED_EVENTS = 50
MAX_KEPT_BODY_BYTES = 4 * 1024


class OutcomeKind(StrEnum):
    """One step of a drift event, or what became of a message; recorded where people see it."""

    DRIFT = "drift"
    WAITING = "waiting"
    AWAITING_APPROVAL = "awaiting approval"
    APPROVED = "approved"
    DECLINED = "declined"
    AWAITING_LABELS = "awaiting labels"
    LABELS_COMPLETE = "labels complete"
    ESCALATED = "escalated"
    HELD = "held"
    TRAINING_REQUESTED = "training requested"
    TRAINING_STARTED = "training started"
    SUPERSEDED = "superseded"
    NOT_DRIFT = "not drift"
    DUPLICATE = "duplicate"
    DEAD_LETTERED = "dead-lettered"
    NOTICE = "notice"
    FAILED = "failed"
    DEFERRED = "deferred"


# An event of which this is the newest step may train later, unless a training answers it before.
HELD_BACK = frozenset(
    {
        OutcomeKind.AWAITING_APPROVAL,
        OutcomeKind.APPROVED,
        OutcomeKind.AWAITING_LABELS,
        OutcomeKind.LABELS_COMPLETE,
        OutcomeKind.ESCALATED,
        OutcomeKind.HELD,
    }
)


class KeptMessage(BaseModel):
    """A message that is acknowledged, kept for as long as its monitoring job has not ended."""

    message_id: str
    body: str


class TriggerRecord(BaseModel, frozen=True):
    """One step in the event log, with a sentence for people.

    The key is that of the drift event, else the resource names of the jobs that the message names.
    """

    kind: OutcomeKind
    key: str
    detail: str
    at: AwareDatetime
    # How many had this outcome; 0 of what was found by polling.
    messages: int = 0
    # Where the step is the event's first or a decision.
    event: DriftEvent | None = None
    # Where its job has not ended.
    message: KeptMessage | None = None
    # Why a message was rejected, or a person decided so.
    reason: str = ""
    # Who approved or declined the event; of an open event, and of its further steps, who approved.
    by: str = ""
    # Of a step that is about labels: how they were found.
    labels: LabelVerdict | None = None


class Inbox(BaseModel):
    """The records of one model, summed up; oldest first."""

    # Storage id up to which no further observation can appear in the event log.
    read_until: int = 0
    # What is unanswered, or waits for its job: as first recorded, with its present kind and error.
    open: dict[str, TriggerRecord] = Field(default_factory=dict)
    # Keys of trained or superseded events, of which a late message changes nothing. Of older ones
    # only the training run is known.
    answered: list[str] = Field(default_factory=list)
    # Keys of declined events: nothing but this list keeps a late message of them from training.
    declined: list[str] = Field(default_factory=list)
    # The newest events whose training was requested, in that order.
    trained: list[DriftEvent] = Field(default_factory=list)
    # When drift was read that no message has named.
    unannounced: dict[str, AwareDatetime] = Field(default_factory=dict)
    # Whether it was said that messages do not arrive.
    way_is_broken: bool = False

    def knows(self, key: str) -> bool:
        """Whether the event is recorded, so that a further message of it is a duplicate."""
        return key in self.open or self._is_answered(key)

    def waiting(self) -> dict[str, TriggerRecord]:
        """The monitoring jobs that have not ended, or could not be read."""
        return {key: item for key, item in self.open.items() if item.event is None}

    def undecided(self) -> list[tuple[TriggerRecord, DriftEvent]]:
        """The drift events without an answer."""
        return [(item, item.event) for item in self.open.values() if item.event is not None]

    def add(self, records: Iterable[TriggerRecord]) -> None:
        """Sum up records, in order; the newest of them, added again, change nothing."""
        for record in records:
            if record.key:
                self._add(record)

    def _add(self, record: TriggerRecord) -> None:
        key, item = record.key, self.open.get(record.key)
        is_announced = record.messages > 0 or record.message is not None
        if is_announced:
            self.unannounced.pop(key, None)
        trains = record.kind in (OutcomeKind.TRAINING_REQUESTED, OutcomeKind.TRAINING_STARTED)
        if trains and record.event and key not in [event.key for event in self.trained]:
            self.trained = [*self.trained, record.event][-MAX_TRAINED_EVENTS:]
        match record.kind:
            case OutcomeKind.DRIFT | OutcomeKind.WAITING if not self._is_answered(key):
                if item is None or (item.event is None and record.event is not None):
                    kept = record.message if record.event is None else None
                    since = record.at if item is None else item.at
                    update = {"detail": "", "at": since, "message": kept}
                    self.open[key] = record.model_copy(update=update)
                if item is None and record.event is not None and not is_announced:
                    self.unannounced[key] = record.at
                    if len(self.unannounced) > MAX_OPEN_EVENTS:
                        del self.unannounced[next(iter(self.unannounced))]
            case OutcomeKind.AWAITING_APPROVAL if _is_undecided(item):
                update = {"kind": record.kind, "detail": "", "at": record.at}
                self.open[key] = item.model_copy(update=update)
            case OutcomeKind.APPROVED if _may_be_held(item):
                update = {"kind": record.kind, "detail": "", "by": item.by or record.by}
                self.open[key] = item.model_copy(update=update)
            case OutcomeKind.DECLINED if _is_undecided(item):
                del self.open[key]
                self.declined = [*self.declined, key][-MAX_DECLINED_EVENTS:]
            case OutcomeKind.AWAITING_LABELS | OutcomeKind.LABELS_COMPLETE if _may_be_held(item):
                # A wait is recorded again where its numbers are others.
                update = {"kind": record.kind, "detail": record.detail}
                self.open[key] = item.model_copy(update=update)
            case OutcomeKind.HELD | OutcomeKind.ESCALATED if _may_be_held(item):
                update = {"kind": record.kind, "detail": ""}
                self.open[key] = item.model_copy(update=update)
            case OutcomeKind.TRAINING_REQUESTED if item is not None:
                update = {"kind": record.kind, "detail": ""}
                self.open[key] = item.model_copy(update=update)
            case OutcomeKind.FAILED if item is not None:
                self.open[key] = item.model_copy(update={"detail": record.detail})
            case OutcomeKind.TRAINING_STARTED | OutcomeKind.SUPERSEDED:
                self._answer(key)
            case OutcomeKind.NOT_DRIFT | OutcomeKind.DEAD_LETTERED | OutcomeKind.NOTICE:
                if item is not None and item.event is None:
                    del self.open[key]

    def _is_answered(self, key: str) -> bool:
        return key in self.answered or key in self.declined

    def _answer(self, key: str) -> None:
        self.open.pop(key, None)
        if key not in self.answered:
            self.answered = [*self.answered, key][-MAX_ANSWERED_EVENTS:]


def _may_be_held(item: TriggerRecord | None) -> TypeGuard[TriggerRecord]:
    # What is requested stays so: a decision that comes later changes nothing.
    return item is not None and item.kind != OutcomeKind.TRAINING_REQUESTED


def _is_undecided(item: TriggerRecord | None) -> TypeGuard[TriggerRecord]:
    # Of several decisions the first in the event log counts.
    return _may_be_held(item) and item.event is not None and not item.by


_CURSOR = TypeAdapter(dict[str, Inbox])


def write_cursor(inboxes: dict[str, Inbox]) -> str:
    """Return the inboxes of a subscription's models, by model monitor id, as the cursor."""
    return _CURSOR.dump_json(inboxes, exclude_defaults=True).decode()


def read_cursor(text: str | None) -> dict[str, Inbox]:
    """Read a cursor; anything else begins from the event log, which has every record."""
    try:
        return _CURSOR.validate_json(text) if text else {}
    except ValidationError:
        return {}


def records_of_former_cursor(text: str | None, now: datetime) -> list[TriggerRecord]:
    """Read what only the cursor of version 0.1 knew: events held, requested and superseded."""
    known: dict[str, Any] = {"detail": "from the cursor of version 0.1", "at": now, "messages": 1}
    drift, superseded = OutcomeKind.DRIFT, OutcomeKind.SUPERSEDED
    try:
        state: Any = json.loads(text or "{}")
        entries = [*state["held"].values(), *state["requested"].values()]
        events = [_former_event(entry["event"]) for entry in entries]
        return [
            *(TriggerRecord(kind=drift, key=item.key, event=item, **known) for item in events),
            *(TriggerRecord(kind=superseded, key=key, **known) for key in state["superseded"]),
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _former_event(event: dict[str, Any]) -> DriftEvent:
    kept = {name: event[name] for name in event.keys() & DriftEvent.model_fields.keys()}
    renamed = {"feature": "feature", "deviation": "distance", "threshold": "threshold"}
    features = [
        {new: item[old] or 0 for old, new in renamed.items()} for item in event["anomalies"]
    ]
    return DriftEvent.model_validate({**kept, "features": features})
