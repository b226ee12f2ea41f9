"""The inbox of the trigger: what the event log holds of each drift event, and what is still open.

Every step of a drift event is a `TriggerRecord` in the event log, written before anything follows
from it. The inbox is the sum of the records; the sensor's cursor only saves reading them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from transak_drift.drift.drift_event import DriftedFeature, DriftEvent

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
    """A message that is acknowledged, kept for as long as its monitoring job has not ended.

    Args:
        message_id: id given by Pub/Sub.
        body: its text; of a large message only the names of the jobs.
    """

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
        event: the drift event, where the step is its first.
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
        read_until: storage id of the newest observation that is summed up.
        open: by key, oldest first.
        answered: keys of events that were trained or superseded, oldest first: a late message of
            one changes nothing. Of older ones only the training run is known.
        unannounced: by key, when drift was read that no message has named.
    """

    model_config = ConfigDict(extra="forbid")

    read_until: int = 0
    open: dict[str, OpenEvent] = Field(default_factory=dict)
    answered: list[str] = Field(default_factory=list)
    unannounced: dict[str, AwareDatetime] = Field(default_factory=dict)

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
        """Sum up the records of one observation; those that are summed up already change nothing.

        Args:
            storage_id: storage id of the observation.
            records: its records, in order.
        """
        for record in records:
            self._add(storage_id, record)
        self.read_until = max(self.read_until, storage_id)

    def _add(self, storage_id: int, record: TriggerRecord) -> None:
        key = record.key
        if not key:
            return
        if record.messages:
            self.unannounced.pop(key, None)
        match record.kind:
            case OutcomeKind.DRIFT | OutcomeKind.WAITING:
                self._open(storage_id, record)
            case OutcomeKind.HELD | OutcomeKind.TRAINING_REQUESTED:
                if key in self.open:
                    self.open[key].kind = record.kind
                    self.open[key].error = ""
            case OutcomeKind.FAILED:
                if key in self.open:
                    self.open[key].error = record.detail
            case OutcomeKind.TRAINING_STARTED | OutcomeKind.SUPERSEDED:
                self.open.pop(key, None)
                if key not in self.answered:
                    self.answered = [*self.answered, key][-MAX_ANSWERED_EVENTS:]
            case OutcomeKind.NOT_DRIFT | OutcomeKind.DEAD_LETTERED | OutcomeKind.NOTICE:
                if key in self.waiting():
                    del self.open[key]
            case OutcomeKind.DUPLICATE | OutcomeKind.DEFERRED:
                pass

    def _open(self, storage_id: int, record: TriggerRecord) -> None:
        key, event = record.key, record.event
        known = self.open.get(key)
        if key in self.answered or (known is not None and known.window_end is not None):
            return
        if event is None and known is not None:
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


class TriggerCursor(BaseModel):
    """The sensor's cursor: the inbox of each model of the subscription, by asset key.

    Args:
        inboxes: by the key of the model's asset `drift_event`.
        way_is_broken: by the same key, whether drift was read and no message came in time.
    """

    model_config = ConfigDict(extra="forbid")

    inboxes: dict[str, Inbox] = Field(default_factory=dict)
    way_is_broken: dict[str, bool] = Field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> TriggerCursor:
        """Read a cursor; anything else begins from the event log, which has every record."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()


def records_of_former_cursor(text: str | None, now: datetime) -> list[TriggerRecord]:
    """Read what only the cursor of version 0.1 knew: events that it held or had requested.

    Args:
        text: the cursor.
        now: the present time, UTC.

    Returns:
        Records for the event log; empty of any other cursor. Their messages either are
        acknowledged or will be delivered again.
    """
    try:
        state: Any = json.loads(text or "{}")
        if not isinstance(state, dict) or not {"held", "requested"} <= state.keys():
            return []
        records = []
        for entry in (*state["held"].values(), *state["requested"].values()):
            event = _former_event(entry["event"])
            records.append(
                TriggerRecord(
                    kind=OutcomeKind.DRIFT,
                    key=event.key,
                    detail=f"{event.summary()}, from the cursor of version 0.1",
                    at=now,
                    messages=1,
                    event=event,
                )
            )
        for key in state.get("superseded", []):
            records.append(
                TriggerRecord(
                    kind=OutcomeKind.SUPERSEDED,
                    key=str(key),
                    detail="superseded, from the cursor of version 0.1",
                    at=now,
                    messages=1,
                )
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return records


def _former_event(event: Mapping[str, Any]) -> DriftEvent:
    return DriftEvent(
        project=event["project"],
        location=event["location"],
        model_monitor_id=event["model_monitor_id"],
        monitoring_job_id=event["monitoring_job_id"],
        features=tuple(
            DriftedFeature(
                feature=item["feature"],
                distance=item["deviation"],
                threshold=item["threshold"] or 0.0,
            )
            for item in event["anomalies"]
        ),
        window_start=event["window_start"],
        window_end=event["window_end"],
    )
