"""The inbox of the trigger: what the event log holds of each drift event, and what is still open.

Every step of a drift event is a `TriggerRecord` in the event log, written before anything follows
from it. The inbox is the sum of the records; the sensor's cursor only saves reading them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from transak_drift.drift.drift_event import DriftEvent

MAX_OPEN_EVENTS = 500
MAX_ANSWERED_EVENTS = 500
MAX_KEPT_BODY_BYTES = 16 * 1024


class OutcomeKind(StrEnum):
    """One step of a drift event, or what became of a message; recorded where people see it."""

    DRIFT = "drift"
    WAITING = "waiting"
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


class KeptMessage(BaseModel):
    """A message that is acknowledged, kept for as long as its monitoring job has not ended."""

    message_id: str
    body: str


class TriggerRecord(BaseModel):
    """One step in the event log.

    Args:
        kind: the step.
        key: the drift event, `<monitor id>/<job id>`; of a job that could not be verified to be
            ours its resource name; of a message that names no job an empty string.
        detail: a sentence for people.
        at: when, UTC.
        messages: how many messages had this outcome; 0 of what was found by polling.
        event: the drift event, where the step is its first or a decision.
        message: the message, where its job has not ended.
        reason: why a message was rejected.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: OutcomeKind
    key: str
    detail: str
    at: AwareDatetime
    messages: int = 0
    event: DriftEvent | None = None
    message: KeptMessage | None = None
    reason: str = ""


class OpenEvent(BaseModel):
    """A drift event, or a monitoring job without an end, that is not answered yet.

    Args:
        kind: its newest step.
        since: when it was first recorded, UTC.
        record: storage id of the observation that has its event or its message.
        window_end: end of the window that drifted, UTC; None while that is not known.
        features: how many features drifted.
        most_drifted: the feature with the greatest distance.
        error: what went wrong the last time, if anything.
    """

    kind: OutcomeKind
    since: AwareDatetime
    record: int
    window_end: AwareDatetime | None = None
    features: int = 0
    most_drifted: str = ""
    error: str = ""


class Inbox(BaseModel):
    """The records of one model, summed up.

    Args:
        read_until: storage id up to which every observation is summed up.
        read_beyond: storage ids of later observations that are summed up: a database may show an
            observation after one with a greater id.
        open: by key, oldest first.
        answered: keys of events that were trained or superseded, oldest first: a late message of
            one changes nothing. Of older ones only the training run is known.
        unannounced: by key, when drift was read that no message has named.
        way_is_broken: whether it was said that messages do not arrive.
    """

    read_until: int = 0
    read_beyond: list[int] = Field(default_factory=list)
    open: dict[str, OpenEvent] = Field(default_factory=dict)
    answered: list[str] = Field(default_factory=list)
    unannounced: dict[str, AwareDatetime] = Field(default_factory=dict)
    way_is_broken: bool = False

    def knows(self, key: str) -> bool:
        """Whether the event is recorded, so that a further message of it is a duplicate."""
        return key in self.open or key in self.answered

    def waiting(self) -> dict[str, OpenEvent]:
        """The monitoring jobs that have not ended, or could not be read."""
        return {key: item for key, item in self.open.items() if item.window_end is None}

    def undecided(self) -> dict[str, OpenEvent]:
        """The drift events without an answer."""
        return {key: item for key, item in self.open.items() if item.window_end is not None}

    def add(self, storage_id: int, records: Iterable[TriggerRecord]) -> None:
        """Sum up the records of one observation; what is summed up already changes nothing.

        Args:
            storage_id: storage id of the observation.
            records: its records, in order.
        """
        if storage_id <= self.read_until or storage_id in self.read_beyond:
            return
        for record in records:
            if record.key:
                self._add(storage_id, record)
        self.read_beyond.append(storage_id)

    @property
    def newest(self) -> int:
        """Storage id of the newest observation that is summed up."""
        return max(self.read_beyond, default=self.read_until)

    def close_until(self, storage_id: int) -> None:
        """Note that up to a storage id no further observation can appear."""
        self.read_until = max(self.read_until, storage_id)
        self.read_beyond = [item for item in self.read_beyond if item > self.read_until]

    def _add(self, storage_id: int, record: TriggerRecord) -> None:
        key, item = record.key, self.open.get(record.key)
        if record.messages or record.message is not None:
            self.unannounced.pop(key, None)
        match record.kind:
            case OutcomeKind.DRIFT | OutcomeKind.WAITING:
                self._open(storage_id, record)
            case OutcomeKind.HELD | OutcomeKind.TRAINING_REQUESTED if item is not None:
                item.kind, item.error = record.kind, ""
            case OutcomeKind.FAILED if item is not None:
                item.error = record.detail
            case OutcomeKind.TRAINING_STARTED | OutcomeKind.SUPERSEDED:
                self.open.pop(key, None)
                if key not in self.answered:
                    self.answered = [*self.answered, key][-MAX_ANSWERED_EVENTS:]
            case OutcomeKind.NOT_DRIFT | OutcomeKind.DEAD_LETTERED | OutcomeKind.NOTICE:
                if item is not None and item.window_end is None:
                    del self.open[key]

    def _open(self, storage_id: int, record: TriggerRecord) -> None:
        key, event, known = record.key, record.event, self.open.get(record.key)
        is_news = known is None or (event is not None and known.window_end is None)
        if key in self.answered or not is_news:
            return
        self.open[key] = OpenEvent(
            kind=record.kind,
            since=record.at if known is None else known.since,
            record=storage_id,
            window_end=None if event is None else event.window_end,
            features=0 if event is None else len(event.features),
            most_drifted="" if event is None else event.most_drifted.feature,
        )
        announced = record.messages or record.message is not None
        if event is not None and known is None and not announced:
            self.unannounced[key] = record.at
            while len(self.unannounced) > MAX_OPEN_EVENTS:
                del self.unannounced[next(iter(self.unannounced))]


_CURSOR = TypeAdapter(dict[str, Inbox])


def write_cursor(inboxes: dict[str, Inbox]) -> str:
    """Return the inboxes of a subscription's models, by asset key, as the sensor's cursor."""
    return _CURSOR.dump_json(inboxes, exclude_defaults=True).decode()


def read_cursor(text: str | None) -> dict[str, Inbox]:
    """Read a cursor; anything else begins from the event log, which has every record."""
    try:
        return _CURSOR.validate_json(text) if text else {}
    except ValidationError:
        return {}


def records_of_former_cursor(text: str | None, now: datetime) -> list[TriggerRecord]:
    """Read what only the cursor of version 0.1 knew: events held, requested and superseded.

    Args:
        text: the cursor; any other has no records.
        now: the present time, UTC.
    """
    try:
        state: Any = json.loads(text or "{}")
        entries = [*state["held"].values(), *state["requested"].values()]
        events = [_former_event(entry["event"]) for entry in entries]
        superseded = [str(key) for key in state["superseded"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    detail = "from the cursor of version 0.1"
    drift, answered = OutcomeKind.DRIFT, OutcomeKind.SUPERSEDED
    return [
        TriggerRecord(kind=drift, key=event.key, detail=detail, at=now, messages=1, event=event)
        for event in events
    ] + [
        TriggerRecord(kind=answered, key=key, detail=detail, at=now, messages=1)
        for key in superseded
    ]


def _former_event(event: dict[str, Any]) -> DriftEvent:
    kept = ("project", "location", "model_monitor_id", "monitoring_job_id")
    features = [
        {
            "feature": item["feature"],
            "distance": item["deviation"],
            "threshold": item["threshold"] or 0,
        }
        for item in event["anomalies"]
    ]
    window = {name: event[name] for name in ("window_start", "window_end")}
    return DriftEvent.model_validate(
        {**{name: event[name] for name in kept}, **window, "features": features}
    )
