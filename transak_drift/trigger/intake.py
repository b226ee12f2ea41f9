"""Assessed messages to records: what is written, acknowledged and forwarded, without any I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import drift_event_key
from transak_drift.trigger.assessment import Assessment, Verdict, resource_name
from transak_drift.trigger.inbox import (
    MAX_KEPT_BODY_BYTES,
    MAX_OPEN_EVENTS,
    Inbox,
    KeptMessage,
    OutcomeKind,
    TriggerRecord,
)
from transak_drift.trigger.message import ReceivedMessage, RejectionReason

MAX_WAIT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message for the dead-letter topic.

    Args:
        message: the message; one that was acknowledged before has no ack id.
        reason: why.
        detail: what stands there and what was expected.
    """

    message: ReceivedMessage
    reason: RejectionReason
    detail: str


@dataclass(slots=True)
class Intake:
    """What follows from messages, in this order: forward, record, acknowledge.

    Args:
        dead_letters: to forward; those with an ack id are then acknowledged.
        records: to write, by id of the model's monitor.
        acknowledge: ack ids of messages whose outcome is in `records`.
        problems: what a person has to know of, each once.
    """

    dead_letters: list[DeadLetter] = field(default_factory=list)
    records: dict[str, list[TriggerRecord]] = field(default_factory=dict)
    acknowledge: list[str] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)

    def counts(self) -> str:
        """How many messages had which outcome, e.g. `1 drift, 2 dead-lettered (not_json)`."""
        records = [record for part in self.records.values() for record in part]
        totals: Counter[OutcomeKind] = Counter()
        for record in records:
            totals[record.kind] += record.messages
        reasons = sorted({record.reason for record in records if record.reason})
        return ", ".join(
            f"{count} {kind}"
            + (f" ({', '.join(reasons)})" if kind == OutcomeKind.DEAD_LETTERED else "")
            for kind in OutcomeKind
            if (count := totals[kind])
        )


def take_in(
    assessed: Sequence[tuple[ReceivedMessage, Assessment]],
    inboxes: Mapping[str, Inbox],
    configs: Sequence[MonitoringConfig],
    now: datetime,
) -> Intake:
    """Decide what becomes of pulled messages.

    Args:
        assessed: the messages, in the order of delivery, each with its assessment.
        inboxes: what is open, by id of the model's monitor; every model of `configs` has one.
        configs: the models that share the subscription. What belongs to none of them is recorded
            at the first.
        now: the present time, UTC.

    Returns:
        The intake. A message is in `acknowledge`, in `dead_letters`, or, where too many events are
        open, in neither: Pub/Sub keeps it and delivers it again.
    """
    intake = Intake()
    groups: dict[tuple[str, Verdict, str, str], list[tuple[ReceivedMessage, Assessment]]] = {}
    for message, assessment in assessed:
        owner = (assessment.config or configs[0]).model_monitor_id
        key = record_key(assessment)
        apart = message.ack_id if assessment.verdict == Verdict.REJECTED else ""
        group = (owner, assessment.verdict, key or assessment.reason, apart)
        groups.setdefault(group, []).append((message, assessment))
    room = {monitor: MAX_OPEN_EVENTS - len(inbox.open) for monitor, inbox in inboxes.items()}
    for (owner, *_), members in groups.items():
        message, assessment = members[0]
        record = _record(message, assessment, inboxes[owner], now)
        if record.kind in (OutcomeKind.DRIFT, OutcomeKind.WAITING):
            known = record.key in inboxes[owner].open
            if room[owner] <= 0 and not known:
                detail = f"{MAX_OPEN_EVENTS} drift events are open already"
                record = TriggerRecord(
                    kind=OutcomeKind.DEFERRED, key=record.key, detail=detail, at=now
                )
            room[owner] -= not known
        if assessment.verdict == Verdict.UNAVAILABLE:
            intake.problems[assessment.reason] = None
        if assessment.rejection is not None:
            intake.dead_letters.append(DeadLetter(message, assessment.rejection, assessment.reason))
        elif record.kind != OutcomeKind.DEFERRED:
            intake.acknowledge += [message.ack_id for message, _ in members]
        count = len({message.message_id for message, _ in members})
        intake.records.setdefault(owner, []).append(record.model_copy(update={"messages": count}))
    return intake


def look_again(
    key: str,
    since: datetime,
    kept: KeptMessage,
    assessment: Assessment,
    waits_at: MonitoringConfig,
    now: datetime,
) -> Intake:
    """Decide what becomes of a message whose monitoring job had not ended.

    Args:
        key: its key in the inbox.
        since: when it was recorded, UTC.
        kept: the message.
        assessment: what it means now.
        waits_at: the model in whose inbox it waits.
        now: the present time, UTC.

    Returns:
        The intake; empty where it waits on.
    """
    intake = Intake()
    record = _record(None, assessment, Inbox(), now).model_copy(update={"message": kept})
    rejection, detail = assessment.rejection, assessment.reason
    if assessment.verdict == Verdict.UNAVAILABLE:
        intake.problems[assessment.reason] = None
        return intake
    if assessment.verdict == Verdict.WAITING:
        if now - since <= MAX_WAIT:
            return intake
        rejection = RejectionReason.JOB_NEVER_ENDED
        detail = f"{detail}; given up after {MAX_WAIT.days} days"
    if rejection is not None:
        message = ReceivedMessage(kept.message_id, "", kept.body.encode())
        intake.dead_letters.append(DeadLetter(message, rejection, detail))
        record = TriggerRecord(
            kind=OutcomeKind.DEAD_LETTERED, key=key, detail=detail, at=now, reason=rejection
        )
    owner = (assessment.config or waits_at).model_monitor_id
    intake.records.setdefault(owner, []).append(record)
    if record.key != key or owner != waits_at.model_monitor_id:
        # Known better by now: what waits under the former key ends with it.
        ended = TriggerRecord(
            kind=OutcomeKind.NOTICE, key=key, detail=f"{record.kind}: {record.key}", at=now
        )
        intake.records.setdefault(waits_at.model_monitor_id, []).append(ended)
    return intake


def record_key(assessment: Assessment) -> str:
    """Name what an assessment is about, as `TriggerRecord.key` says."""
    if assessment.job is None:
        return ""
    if assessment.config is None:
        return resource_name(assessment.job)
    return drift_event_key(assessment.job.model_monitor_id, assessment.job.monitoring_job_id)


def _record(
    message: ReceivedMessage | None, assessment: Assessment, inbox: Inbox, now: datetime
) -> TriggerRecord:
    key = record_key(assessment)
    kept = None
    match assessment.verdict:
        case Verdict.DRIFT:
            kind = OutcomeKind.DRIFT
            if inbox.knows(key) and key not in inbox.waiting():
                kind = OutcomeKind.DUPLICATE
        case Verdict.WAITING | Verdict.UNAVAILABLE:
            kind = OutcomeKind.DUPLICATE if inbox.knows(key) else OutcomeKind.WAITING
            if message is not None and kind == OutcomeKind.WAITING:
                kept = _kept(message, assessment)
        case Verdict.NOT_DRIFT:
            kind = OutcomeKind.NOTICE if assessment.job is None else OutcomeKind.NOT_DRIFT
        case Verdict.REJECTED:
            kind = OutcomeKind.DEAD_LETTERED
    return TriggerRecord(
        kind=kind,
        key=key if assessment.rejection is None or assessment.config is not None else "",
        detail=assessment.reason,
        at=now,
        event=assessment.event if kind == OutcomeKind.DRIFT else None,
        message=kept,
        reason=assessment.rejection or "",
    )


def _kept(message: ReceivedMessage, assessment: Assessment) -> KeptMessage:
    if len(message.data) <= MAX_KEPT_BODY_BYTES:
        return KeptMessage(message_id=message.message_id, body=message.data.decode())
    assert assessment.job is not None
    name = {"modelMonitoringJob": resource_name(assessment.job)}
    return KeptMessage(message_id=message.message_id, body=json.dumps(name))
