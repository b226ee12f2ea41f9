"""A person's decision about a drift event that awaits approval, as a record in the event log.

Of several decisions about an event the first in the log's order counts; who decided later is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from transak_drift.config.errors import sanitize_text
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

NEWEST = "newest"
SEE_STATUS = "`transak-drift status` shows what is open"


class Decision(StrEnum):
    """What a person says; the names are those of the commands and of the launchpad."""

    approve = "approve"
    decline = "decline"


AWAIT_A_PERSON = (OutcomeKind.AWAITING_APPROVAL, OutcomeKind.ESCALATED)
# Labels may never come.
_MAY_BE_DECLINED = (*AWAIT_A_PERSON, OutcomeKind.AWAITING_LABELS)
_KINDS = {Decision.approve: OutcomeKind.APPROVED, Decision.decline: OutcomeKind.DECLINED}
DECISION_KINDS = frozenset(_KINDS.values())
_ANSWERS = {
    OutcomeKind.TRAINING_STARTED: "was trained already",
    OutcomeKind.TRAINING_REQUESTED: "is requested already, and trains",
    OutcomeKind.WAITING: "is of a monitoring job that has not ended",
    OutcomeKind.DRIFT: "was not looked at by the drift message sensor yet; decide it after a tick",
    OutcomeKind.HELD: "does not await approval: the retrain policy holds it",
    OutcomeKind.AWAITING_LABELS: "awaits labels, not approval; it can be declined",
    OutcomeKind.LABELS_COMPLETE: "does not await approval: its labels are complete",
}


class UndecidableError(Exception):
    """A decision that is not taken, or came too late; the text is a sentence for people."""


def decision_command(decision: Decision, key: str) -> str:
    """Return the command line by which a person decides."""
    reason = " --reason TEXT" if decision == Decision.decline else ""
    return f"transak-drift {decision} {key}{reason}"


def awaiting_approval(
    inbox: Inbox, kinds: Sequence[OutcomeKind] = AWAIT_A_PERSON
) -> list[tuple[TriggerRecord, DriftEvent]]:
    """Return the events of a model that await approval or are escalated, newest window first."""
    found = [pair for pair in inbox.undecided() if pair[0].kind in kinds and not pair[0].by]
    return sorted(found, key=lambda pair: (pair[1].window_end, pair[0].at), reverse=True)


def find_event(logs: Mapping[str, Sequence[TriggerRecord]], name: str) -> tuple[str, str]:
    """Return the model and the key of the event that a person names.

    The logs are the records by model; the name is a key, the id of a monitoring job, or `newest`.
    """
    if name == NEWEST:
        inboxes = {model: _sum(log) for model, log in logs.items()}
        # What awaits labels is meant only where nothing awaits approval.
        for kinds in (AWAIT_A_PERSON, _MAY_BE_DECLINED):
            waiting = {model: awaiting_approval(inbox, kinds) for model, inbox in inboxes.items()}
            if matches := [(model, found[0][0].key) for model, found in waiting.items() if found]:
                break
        else:
            raise UndecidableError(f"no drift event awaits approval; {SEE_STATUS}")
    else:
        known = {(model, record.key) for model, log in logs.items() for record in log}
        matches = sorted(pair for pair in known if name in (pair[1], pair[1].partition("/")[2]))
    if not matches:
        raise UndecidableError(f"no drift event {name[:200]!r} is known; {SEE_STATUS}")
    if len(matches) > 1:
        keys = ", ".join(sorted(key for _, key in matches))
        raise UndecidableError(f"{name} may be of several models; name one of {keys}")
    return matches[0]


def decision_records(
    log: Sequence[TriggerRecord], key: str, decision: Decision, reason: str, by: str, now: datetime
) -> list[TriggerRecord]:
    """Return what is recorded of a decision about one event of a model with these records.

    The training of the newest window answers the older ones: approved is always the newest event
    that waits, and declined with an event are the older ones. An UndecidableError says why the
    event cannot be decided.
    """
    reason, by = (sanitize_text(" ".join(text.split()))[:500] for text in (reason, by))
    is_decline = decision == Decision.decline
    if is_decline and not reason:
        raise UndecidableError("a decline needs a reason: people read later why nothing trained")
    inbox = _sum(log)
    waiting = awaiting_approval(inbox, _MAY_BE_DECLINED if is_decline else AWAIT_A_PERSON)
    event = next((event for _, event in waiting if event.key == key), None)
    if event is None:
        raise UndecidableError(_why_not(log, key))
    if not is_decline:
        _, newest = waiting[0]
        chosen = [newest if newest.window_end > event.window_end else event]
        for item, other in inbox.undecided():
            if item.by and other.window_end > event.window_end:
                answer = f"{other.key} was approved by {item.by}, and its training answers"
                raise UndecidableError(f"{answer} {key} as well")
    else:
        chosen = [other for _, other in waiting if other.window_end <= event.window_end]
    detail = f"by {by}: {reason}" if reason else f"by {by}"
    return [
        TriggerRecord(
            kind=_KINDS[decision],
            key=event.key,
            detail=detail,
            at=now,
            event=event,
            reason=reason,
            by=by,
        )
        for event in chosen
    ]


def check_counted(log: Sequence[TriggerRecord], record: TriggerRecord) -> None:
    """Raise an UndecidableError where another step of the event came before a recorded decision."""
    counted = counted_decision(log, record.key)
    if counted != record:
        raise UndecidableError(f"{_why_not(log, record.key)}; your decision came too late")


def counted_decision(log: Iterable[TriggerRecord], key: str) -> TriggerRecord | None:
    """Return the decision about an event that counts, or None where there is none."""
    inbox, approved = Inbox(), None
    for record in log:
        if record.key != key:
            continue
        before = inbox.open.get(key)
        inbox.add([record])
        after = inbox.open.get(key)
        if record.kind == OutcomeKind.DECLINED and before is not None and after is None:
            return record
        if record.kind == OutcomeKind.APPROVED and after and after.by and not approved:
            approved = record
    return approved


def _sum(log: Iterable[TriggerRecord]) -> Inbox:
    inbox = Inbox()
    inbox.add(log)
    return inbox


def _why_not(log: Sequence[TriggerRecord], key: str) -> str:
    if (decided := counted_decision(log, key)) is not None:
        return f"{key} was {decided.kind} at {decided.at:%Y-%m-%d %H:%M} UTC {decided.detail}"
    steps = [record for record in log if record.key == key and record.kind in _ANSWERS]
    superseded = [x for x in log if x.key == key and x.kind == OutcomeKind.SUPERSEDED]
    if superseded:
        return f"{key} needs no decision: {superseded[-1].detail}"
    answer = _ANSWERS[steps[-1].kind] if steps else "is no drift event"
    return f"{key} {answer}"
