"""Assessed messages to records: what is written, acknowledged and forwarded, without any I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
_WAITS_AS = "waits_as"


@dataclass(slots=True)
class Intake:
    """What follows from messages, in this order: forward, record, acknowledge.

    Args:
        dead_letters: messages for the dead-letter topic, each with reason and detail.
        records: to write, by id of the model's monitor.
        ended: to write after all of `records`: what waits no longer under its former key.
        acknowledge: ack ids of the dead letters, and of messages whose outcome is in `records`.
        problems: what a person has to know of, each once.
    """

    dead_letters: list[tuple[ReceivedMessage, str, str]] = field(default_factory=list)
    records: dict[str, list[TriggerRecord]] = field(default_factory=dict)
    ended: dict[str, list[TriggerRecord]] = field(default_factory=dict)
    acknowledge: list[str] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)

    def without_dead_letters(self) -> Intake:
        """The same without what could not be forwarded: that is neither recorded nor settled."""
        kept = {message.ack_id for message, *_ in self.dead_letters}
        records, ended = (
            {monitor: [item for item in part if not item.reason] for monitor, part in kind.items()}
            for kind in (self.records, self.ended)
        )
        return Intake(
            records=records,
            ended=ended,
            acknowledge=[ack_id for ack_id in self.acknowledge if ack_id not in kept],
            problems=self.problems,
        )

    def counts(self) -> str:
        """How many messages had which outcome, e.g. `1 drift, 2 dead-lettered (not_json)`."""
        records = [record for part in self.records.values() for record in part]
        totals: Counter[OutcomeKind] = Counter()
        for record in records:
            totals[record.kind] += record.messages
        reasons = f" ({', '.join(sorted({record.reason for record in records} - {''}))})"
        return ", ".join(
            f"{totals[kind]} {kind}{reasons if kind == OutcomeKind.DEAD_LETTERED else ''}"
            for kind in OutcomeKind
            if totals[kind]
        )


def take_in(
    assessed: Sequence[tuple[ReceivedMessage, Assessment]],
    inboxes: Mapping[str, Inbox],
    configs: Sequence[MonitoringConfig],
    now: datetime,
) -> Intake:
    """Decide what becomes of messages that were pulled, or that waited for their job.

    Args:
        assessed: the messages, in the order of delivery, each with its assessment. One that waited
            was acknowledged before and has no ack id.
        inboxes: what is open, by id of the model's monitor; every model of `configs` has one.
        configs: the models that share the subscription. What belongs to none of them is recorded
            at the first.
        now: the present time, UTC.

    Returns:
        The intake. A message that is in none of it stays with Pub/Sub and is delivered again:
        too many events are open.
    """
    intake = Intake()
    groups: dict[tuple[str, ...], list[tuple[ReceivedMessage, Assessment]]] = {}
    # Of a flood of copies, each with the very same assessment.
    of_copies: dict[int, list[tuple[ReceivedMessage, Assessment]]] = {}
    for message, assessment in assessed:
        copies = of_copies.get(id(assessment))
        if copies is not None and message.ack_id:
            copies.append((message, assessment))
            continue
        if message.ack_id == "":
            assessment = _after_waiting(message, assessment, inboxes, now)
        if assessment.verdict == Verdict.UNAVAILABLE:
            intake.problems[assessment.reason] = None
        owner = (assessment.config or configs[0]).model_monitor_id
        apart = message.message_id if assessment.rejection else assessment.reason
        members = groups.setdefault((owner, _key(assessment), apart), [])
        members.append((message, assessment))
        if message.ack_id and not assessment.rejection:
            of_copies[id(assessment)] = members
    room = {monitor: MAX_OPEN_EVENTS - len(inbox.open) for monitor, inbox in inboxes.items()}
    for (owner, _, _), members in groups.items():
        _add_group(intake, owner, members, inboxes, room, now)
    return intake


def waiting_message(key: str, kept: KeptMessage) -> ReceivedMessage:
    """Return a message that waits in the inbox under a key, to be assessed again."""
    return ReceivedMessage(kept.message_id, "", kept.body.encode(), {_WAITS_AS: key})


def _add_group(
    intake: Intake,
    owner: str,
    members: Sequence[tuple[ReceivedMessage, Assessment]],
    inboxes: Mapping[str, Inbox],
    room: dict[str, int],
    now: datetime,
) -> None:
    (message, assessment), inbox = members[0], inboxes[owner]
    record = _record(message, assessment, inbox, now)
    opens = record.kind in _OPENING and record.key not in inbox.open
    if opens and room[owner] <= 0:
        detail = f"{MAX_OPEN_EVENTS} drift events are open already"
        record = TriggerRecord(kind=OutcomeKind.DEFERRED, key=record.key, detail=detail, at=now)
    else:
        room[owner] -= opens
        intake.acknowledge += [item.ack_id for item, _ in members if item.ack_id]
    if assessment.rejection is not None:
        intake.dead_letters.append((message, assessment.rejection, assessment.reason))
    pulled = {item.message_id for item, _ in members if item.ack_id}
    if not pulled:
        if assessment.verdict in (Verdict.WAITING, Verdict.UNAVAILABLE):
            return
        # It may have waited under another key or in another model's inbox: known better, that ends.
        former = message.attributes[_WAITS_AS]
        for monitor, other in inboxes.items():
            if former in other.waiting() and (monitor, former) != (owner, record.key):
                update = {"kind": OutcomeKind.NOTICE, "key": former, "event": None}
                intake.ended.setdefault(monitor, []).append(record.model_copy(update=update))
    intake.records.setdefault(owner, []).append(record.model_copy(update={"messages": len(pulled)}))


_OPENING = (OutcomeKind.DRIFT, OutcomeKind.WAITING)


def _record(
    message: ReceivedMessage, assessment: Assessment, inbox: Inbox, now: datetime
) -> TriggerRecord:
    key = _key(assessment)
    is_waiting = _WAITS_AS in message.attributes or key in inbox.waiting()
    kept = None
    match assessment.verdict:
        case Verdict.DRIFT:
            is_new = key in inbox.waiting() or not inbox.knows(key)
            kind = OutcomeKind.DRIFT if is_new else OutcomeKind.DUPLICATE
        case Verdict.WAITING | Verdict.UNAVAILABLE:
            kind = OutcomeKind.DUPLICATE if inbox.knows(key) else OutcomeKind.WAITING
        case Verdict.NOT_DRIFT:
            kind = OutcomeKind.NOTICE if assessment.job is None else OutcomeKind.NOT_DRIFT
        case Verdict.REJECTED:
            kind = OutcomeKind.DEAD_LETTERED
    if kind == OutcomeKind.WAITING or (kind == OutcomeKind.DRIFT and is_waiting):
        body = message.data
        if len(body) > MAX_KEPT_BODY_BYTES and assessment.job is not None:
            body = json.dumps([resource_name(assessment.job)]).encode()
        kept = KeptMessage(message_id=message.message_id, body=body.decode())
    return TriggerRecord(
        kind=kind,
        key=key,
        detail=assessment.reason,
        at=now,
        event=assessment.event if kind == OutcomeKind.DRIFT else None,
        message=kept,
        reason=assessment.rejection or "",
    )


def _after_waiting(
    message: ReceivedMessage,
    assessment: Assessment,
    inboxes: Mapping[str, Inbox],
    now: datetime,
) -> Assessment:
    key = message.attributes[_WAITS_AS]
    waits = [item for inbox in inboxes.values() if (item := inbox.waiting().get(key))]
    if assessment.verdict == Verdict.WAITING and any(now - item.since > MAX_WAIT for item in waits):
        reason = f"{assessment.reason}; given up after {MAX_WAIT.days} days"
        never = RejectionReason.JOB_NEVER_ENDED
        return replace(assessment, verdict=Verdict.REJECTED, reason=reason, rejection=never)
    return assessment


def _key(assessment: Assessment) -> str:
    job = assessment.job
    if job is None:
        return ""
    if assessment.config is None:
        # Not verified to be ours: another project's job of the same ids must not stand for it.
        return resource_name(job)
    return drift_event_key(job.model_monitor_id, job.monitoring_job_id)
