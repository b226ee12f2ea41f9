"""Messages to records: what is written, acknowledged and forwarded, without any I/O."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.trigger.assessment import Assessment, Verdict
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
class Outcome:
    """What becomes of some messages: forwarded first, then recorded, then acknowledged."""

    monitor_id: str
    record: TriggerRecord
    ack_ids: list[str]
    dead_letter: tuple[ReceivedMessage, str, str] | None
    # Where they waited, by monitor and key, if not where they are recorded.
    waited: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Group:
    """The messages of one job, or one rejected message, with their common assessment."""

    owner: str
    key: str
    assessment: Assessment
    pulled: list[ReceivedMessage] = field(default_factory=list)
    waiting: dict[tuple[str, str], ReceivedMessage] = field(default_factory=dict)


def take_in(
    pulled: Iterable[ReceivedMessage],
    assess: Callable[[bytes], Assessment],
    inboxes: Mapping[str, Inbox],
    configs: Sequence[MonitoringConfig],
    now: datetime,
) -> tuple[list[Outcome], list[str]]:
    """Decide what becomes of messages that were pulled, and of those that wait for their job.

    There is an inbox for each model's monitor; what belongs to no model is recorded at the first.
    A message that is in no outcome is delivered again, or waits on. Returns problems as well.
    """
    groups: dict[tuple[str, str, str], _Group] = {}

    def group_of(message: ReceivedMessage, assessment: Assessment) -> _Group:
        owner, key = (assessment.config or configs[0]).model_monitor_id, assessment.key
        place = (owner, key, message.message_id if assessment.rejection else assessment.reason)
        return groups.setdefault(place, _Group(owner, key, assessment))

    # A flood is mostly copies of the same bytes: each is read once.
    group_of_body: dict[bytes, _Group] = {}
    for message in pulled:
        if (group := group_of_body.get(message.data)) is None:
            group = group_of(message, assess(message.data))
            if group.assessment.rejection is None:
                group_of_body[message.data] = group
        group.pulled.append(message)
    waiting = [
        ((monitor_id, key), item.at, item.message)
        for monitor_id, inbox in inboxes.items()
        for key, item in inbox.waiting().items()
        if item.message is not None
    ]
    # Not always the same first, where there is no time for all.
    random.shuffle(waiting)
    for place, since, kept in waiting:
        message = ReceivedMessage(kept.message_id, "", kept.body.encode())
        assessment = assess(message.data)
        is_unfinished = assessment.verdict == Verdict.WAITING and not assessment.is_unread
        if is_unfinished and now - since > MAX_WAIT:
            why = f"{assessment.reason}; given up after {MAX_WAIT.days} days"
            never = RejectionReason.JOB_NEVER_ENDED
            assessment = replace(assessment, verdict=Verdict.REJECTED, reason=why, rejection=never)
        group_of(message, assessment).waiting[place] = message
    room = {monitor_id: MAX_OPEN_EVENTS - len(inbox.open) for monitor_id, inbox in inboxes.items()}
    found = [_outcome(group, inboxes[group.owner], room, now) for group in groups.values()]
    assessments = [group.assessment for group in groups.values()]
    problems = [item.reason for item in assessments if item.verdict == Verdict.UNAVAILABLE]
    return [outcome for outcome in found if outcome is not None], problems


def records_to_write(outcomes: Sequence[Outcome]) -> list[tuple[str, list[TriggerRecord]]]:
    """Return the records by monitor, to write in order: what waited elsewhere ends at last."""
    written: dict[str, list[TriggerRecord]] = defaultdict(list)
    ended: dict[str, list[TriggerRecord]] = defaultdict(list)
    for outcome in outcomes:
        record = outcome.record
        written[outcome.monitor_id].append(record)
        for monitor_id, key in outcome.waited:
            end = TriggerRecord(
                kind=OutcomeKind.NOTICE, key=key, detail=record.detail, at=record.at
            )
            ended[monitor_id].append(end)
    return [*written.items(), *ended.items()]


def counts(outcomes: Sequence[Outcome]) -> str:
    """Say how many messages had which outcome, e.g. `1 drift, 2 dead-lettered (not_json)`."""
    totals: Counter[OutcomeKind] = Counter()
    for outcome in outcomes:
        totals[outcome.record.kind] += outcome.record.messages
    reasons = ", ".join(sorted({outcome.record.reason for outcome in outcomes} - {""}))
    shown = {OutcomeKind.DEAD_LETTERED: f" ({reasons})"}
    return ", ".join(
        f"{totals[kind]} {kind}{shown.get(kind, '')}" for kind in OutcomeKind if totals[kind]
    )


def _outcome(group: _Group, inbox: Inbox, room: dict[str, int], now: datetime) -> Outcome | None:
    assessment, key, pulled = group.assessment, group.key, group.pulled
    kind, detail = _kind(assessment, key, inbox), assessment.reason
    if kind in (OutcomeKind.DRIFT, OutcomeKind.WAITING) and key not in inbox.open:
        room[group.owner] -= 1
        if room[group.owner] < 0:
            kind, detail = OutcomeKind.DEFERRED, f"{MAX_OPEN_EVENTS} drift events are open already"
    waits_on = assessment.verdict in (Verdict.WAITING, Verdict.UNAVAILABLE)
    if not pulled and (waits_on or kind == OutcomeKind.DEFERRED):
        return None
    message = next(iter([*pulled, *group.waiting.values()]))
    is_kept = kind == OutcomeKind.WAITING or (kind == OutcomeKind.DRIFT and group.waiting)
    record = TriggerRecord(
        kind=kind,
        key=key,
        detail=detail,
        at=now,
        messages=len({item.message_id for item in pulled}),
        event=assessment.event if kind == OutcomeKind.DRIFT else None,
        message=_kept(message, assessment) if is_kept else None,
        reason=assessment.rejection or "",
    )
    return Outcome(
        group.owner,
        record,
        [] if kind == OutcomeKind.DEFERRED else [item.ack_id for item in pulled],
        (message, assessment.rejection, detail) if assessment.rejection else None,
        [place for place in group.waiting if place != (group.owner, key)],
    )


def _kind(assessment: Assessment, key: str, inbox: Inbox) -> OutcomeKind:
    match assessment.verdict:
        case Verdict.DRIFT:
            is_known = inbox.knows(key) and key not in inbox.waiting()
            return OutcomeKind.DUPLICATE if is_known else OutcomeKind.DRIFT
        case Verdict.WAITING | Verdict.UNAVAILABLE:
            return OutcomeKind.DUPLICATE if inbox.knows(key) else OutcomeKind.WAITING
        case Verdict.NOT_DRIFT:
            return OutcomeKind.NOTICE if assessment.job is None else OutcomeKind.NOT_DRIFT
        case Verdict.REJECTED:
            return OutcomeKind.DEAD_LETTERED


def _kept(message: ReceivedMessage, assessment: Assessment) -> KeptMessage:
    body = message.data
    if len(body) > MAX_KEPT_BODY_BYTES and assessment.named_jobs:
        body = json.dumps([job.name for job in assessment.named_jobs]).encode()
    return KeptMessage(message_id=message.message_id, body=body.decode())
