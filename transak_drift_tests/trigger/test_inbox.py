"""The inbox is the sum of the records, in whatever parts it is read, and stays small."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from transak_drift.trigger.inbox import (
    HELD_BACK,
    MAX_ANSWERED_EVENTS,
    MAX_OPEN_EVENTS,
    Inbox,
    KeptMessage,
    OutcomeKind,
    TriggerRecord,
    read_cursor,
    write_cursor,
)
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event


def record(
    kind: OutcomeKind,
    job: str = "job-1",
    *,
    messages: int = 1,
    waits: bool = False,
    at: datetime = MAY_1,
    by: str = "anna",
) -> TriggerRecord:
    return TriggerRecord(
        kind=kind,
        key=f"{MONITOR}/{job}",
        detail="why",
        at=at,
        by=by if kind in (OutcomeKind.APPROVED, OutcomeKind.DECLINED) else "",
        messages=messages,
        event=drift_event(job) if kind == OutcomeKind.DRIFT else None,
        message=KeptMessage(message_id="1", body="{}") if waits else None,
    )


def inbox_of(*records: TriggerRecord) -> Inbox:
    inbox = Inbox()
    inbox.add(records)
    return inbox


def test_an_event_is_open_until_it_is_trained_or_superseded() -> None:
    for end in (OutcomeKind.TRAINING_STARTED, OutcomeKind.SUPERSEDED):
        inbox = inbox_of(record(OutcomeKind.DRIFT), record(OutcomeKind.HELD))
        [(item, event)] = inbox.undecided()
        assert (item.kind, event) == (OutcomeKind.HELD, drift_event())
        inbox.add([record(end)])
        assert not inbox.open
        assert inbox.knows(event.key)
        # The other sensor's record of the same event may come late.
        inbox.add([record(OutcomeKind.DRIFT), record(OutcomeKind.HELD)])
        assert not inbox.open


def test_a_job_waits_until_it_is_known_what_it_found() -> None:
    waiting = record(OutcomeKind.WAITING, waits=True)
    inbox = inbox_of(waiting, waiting)
    assert [item.message for item in inbox.waiting().values()] == [waiting.message]
    inbox.add([record(OutcomeKind.DRIFT)])
    assert not inbox.waiting()
    assert [item.at for item, _ in inbox.undecided()] == [MAY_1]
    for end in (OutcomeKind.NOT_DRIFT, OutcomeKind.DEAD_LETTERED, OutcomeKind.NOTICE):
        assert not inbox_of(waiting, record(end)).open
    assert inbox_of(record(OutcomeKind.DRIFT), record(OutcomeKind.NOT_DRIFT)).open


def test_of_several_decisions_the_first_counts_and_none_after_the_request() -> None:
    drift, asked = record(OutcomeKind.DRIFT), record(OutcomeKind.AWAITING_APPROVAL)
    approved = record(OutcomeKind.APPROVED)
    declined = record(OutcomeKind.DECLINED, by="ben")
    both = inbox_of(drift, asked, approved, declined, record(OutcomeKind.HELD))
    [(item, _)] = both.undecided()
    assert (item.kind, item.by) == (OutcomeKind.HELD, "anna")
    again = inbox_of(drift, asked, approved, record(OutcomeKind.APPROVED, by="ben"))
    assert [item.by for item in again.open.values()] == ["anna"]
    other = inbox_of(drift, asked, declined, approved)
    assert not other.open
    other.add([drift])
    assert not other.open, "its message comes again"
    # A tick that did not know of the approval yet asks once more.
    asked_late = record(OutcomeKind.AWAITING_APPROVAL, at=MAY_1 + timedelta(days=1))
    raced = inbox_of(drift, asked, approved, asked_late)
    assert [(x.kind, x.at) for x in raced.open.values()] == [(OutcomeKind.APPROVED, MAY_1)]
    assert [x.at for x in inbox_of(drift, asked_late).open.values()] == [asked_late.at]
    late = inbox_of(drift, asked, record(OutcomeKind.TRAINING_REQUESTED), declined, approved)
    assert [(x.kind, x.by) for x in late.open.values()] == [(OutcomeKind.TRAINING_REQUESTED, "")]


def test_an_error_stays_with_its_event_until_a_step_succeeds() -> None:
    inbox = inbox_of(record(OutcomeKind.DRIFT), record(OutcomeKind.FAILED))
    assert [item.detail for item in inbox.open.values()] == ["why"]
    inbox.add([record(OutcomeKind.HELD)])
    assert [item.detail for item in inbox.open.values()] == [""]


def test_drift_without_a_message_is_unannounced_until_one_comes() -> None:
    polled = record(OutcomeKind.DRIFT, messages=0)
    inbox = inbox_of(polled)
    assert list(inbox.unannounced) == [polled.key]
    inbox.add([record(OutcomeKind.DUPLICATE)])
    assert not inbox.unannounced
    assert not inbox_of(record(OutcomeKind.DRIFT), polled).unannounced
    assert not inbox_of(record(OutcomeKind.DRIFT, messages=0, waits=True)).unannounced


_RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from(OutcomeKind),
        st.sampled_from(["job-1", "job-2", "job-3"]),
        messages=st.integers(0, 2),
        waits=st.booleans(),
        at=st.sampled_from([MAY_1, MAY_1 + timedelta(days=1)]),
        by=st.sampled_from(["anna", "ben"]),
    ),
    max_size=20,
)


_DECISIONS = (
    *HELD_BACK,
    OutcomeKind.DECLINED,
    OutcomeKind.TRAINING_REQUESTED,
    OutcomeKind.TRAINING_STARTED,
    OutcomeKind.SUPERSEDED,
    OutcomeKind.FAILED,
)


@given(_RECORDS, st.integers(0, 20), st.integers(0, 20))
def test_reading_in_two_parts_or_through_the_cursor_or_twice_is_the_same(
    any_records: list[TriggerRecord], cut: int, overlap: int
) -> None:
    drifted: set[str] = set()
    records = []
    for item in any_records:
        drifted |= {item.key} if item.kind == OutcomeKind.DRIFT else set()
        # What is decided has been recorded before.
        records += [item] if item.key in drifted or item.kind not in _DECISIONS else []
    part = inbox_of(*records[:cut])
    continued = read_cursor(write_cursor({"drift_event": part}))["drift_event"]
    for item in records[max(cut - overlap, 0) :]:
        continued.add([TriggerRecord.model_validate_json(item.model_dump_json())])
    whole = inbox_of(*records)
    assert continued.open == whole.open
    assert (continued.answered, continued.declined) == (whole.answered, whole.declined)


def test_what_is_remembered_is_bounded() -> None:
    jobs = range(MAX_ANSWERED_EVENTS + MAX_OPEN_EVENTS)
    inbox = inbox_of(*[record(OutcomeKind.DRIFT, f"job-{n}", messages=0) for n in jobs])
    assert len(inbox.unannounced) == MAX_OPEN_EVENTS
    inbox.add([record(OutcomeKind.SUPERSEDED, f"job-{number}") for number in jobs])
    assert len(inbox.answered) == MAX_ANSWERED_EVENTS
    assert inbox.answered[-1].endswith(f"/job-{jobs[-1]}")


def test_a_declined_event_is_not_forgotten_for_what_is_answered_later() -> None:
    declined = [record(OutcomeKind.DRIFT, "no"), record(OutcomeKind.DECLINED, "no")]
    later = [
        record(kind, f"job-{n}")
        for n in range(MAX_ANSWERED_EVENTS)
        for kind in (OutcomeKind.DRIFT, OutcomeKind.SUPERSEDED)
    ]
    inbox = inbox_of(*declined, *later, record(OutcomeKind.DRIFT, "no"))
    assert inbox.knows(f"{MONITOR}/no")
    assert not inbox.open


def test_a_cursor_of_something_else_begins_from_the_log() -> None:
    for text in (None, "", "{", '{"of": "else"}', "[]"):
        assert read_cursor(text) == {}
