"""What is recorded of a person's decision, which of several counts, and what others are told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.trigger.approval import (
    Decision,
    UndecidableError,
    check_counted,
    counted_decision,
    decision_records,
    find_event,
)
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event

APPROVE, DECLINE = Decision.approve, Decision.decline
AWAITING, ESCALATED = OutcomeKind.AWAITING_APPROVAL, OutcomeKind.ESCALATED
NOW = MAY_1 + timedelta(days=30)


def steps(job: str, day: int, *kinds: OutcomeKind, found: int = 0) -> list[TriggerRecord]:
    """Return the drift of a day, found so many hours after it, and what became of it."""
    event = drift_event(job, end=MAY_1 + timedelta(days=day))
    at = event.window_end + timedelta(hours=found)
    return [
        TriggerRecord(kind=kind, key=event.key, detail="why", at=at, event=event)
        for kind in (OutcomeKind.DRIFT, *(kinds or (AWAITING,)))
    ]


def key(job: str) -> str:
    return f"{MONITOR}/{job}"


def decide(
    log: list[TriggerRecord], job: str, choice: Decision, reason: str = "no", by: str = "anna"
) -> list[TriggerRecord]:
    return decision_records(log, key(job), choice, reason, by, NOW)


def jobs(records: list[TriggerRecord]) -> list[str]:
    return [record.key.partition("/")[2] for record in records]


def test_approved_is_the_newest_window_and_declined_are_the_older_ones_too() -> None:
    # The oldest window was found last.
    log = [*steps("a", 1, found=99), *steps("b", 2), *steps("c", 3, ESCALATED), *steps("c2", 3)]
    log += steps("held", 9, OutcomeKind.HELD)
    assert [jobs(decide(log, job, APPROVE)) for job in ("a", "b")] == [["c"], ["c"]]
    # Of the same window it is the one that was meant.
    assert [jobs(decide(log, job, APPROVE)) for job in ("c", "c2")] == [["c"], ["c2"]]
    assert {*jobs(decide(log, "b", DECLINE))} == {"a", "b"}
    assert {*jobs(decide(log, "c2", DECLINE))} == {"a", "b", "c", "c2"}
    [record] = decide(log, "c", APPROVE, "")
    assert (record.kind, record.detail, record.reason) == (OutcomeKind.APPROVED, "by anna", "")
    assert (record.at, record.event) == (NOW, drift_event("c", end=MAY_1 + timedelta(days=3)))


def test_what_awaits_labels_is_declined_unless_it_was_approved_and_is_not_approved() -> None:
    waits = OutcomeKind.AWAITING_LABELS
    log = [*steps("a", 1, waits), *steps("b", 2)]
    assert jobs(decide(log, "a", DECLINE)) == ["a"]
    assert {*jobs(decide(log, "b", DECLINE))} == {"a", "b"}
    assert jobs(decide(log, "b", APPROVE)) == ["b"]
    with pytest.raises(UndecidableError, match="awaits labels, not approval; it can be declined"):
        decide(log, "a", APPROVE)
    inbox = Inbox()
    inbox.add([*log, *decide(log, "a", DECLINE)])
    assert list(inbox.open) == [key("b")]
    log += decide(log, "b", APPROVE)
    log.append(log[-1].model_copy(update={"kind": waits}))
    with pytest.raises(UndecidableError, match="was approved at"):
        decide(log, "b", DECLINE)


def test_a_reason_of_any_length_is_one_printable_line_of_500_characters() -> None:
    reason = "<b>new</b>\nmerchants\x1b[31m\u202e " + "x" * 4_000_000
    [record] = decide(steps("a", 1), "a", APPROVE, reason, "ben\n" * 300)
    assert record.reason.startswith(r"<b>new</b> merchants\x1b[31m\u202e xxx")
    assert (len(record.reason), len(record.by)) == (500, 500)
    assert record.detail == f"by {record.by}: {record.reason}"
    assert TriggerRecord.model_validate_json(record.model_dump_json()) == record
    for empty in ("", " \n\t"):
        with pytest.raises(UndecidableError, match="a decline needs a reason"):
            decide(steps("a", 1), "a", DECLINE, empty)


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ([OutcomeKind.TRAINING_REQUESTED], "is requested already"),
        ([OutcomeKind.TRAINING_REQUESTED, OutcomeKind.TRAINING_STARTED], "was trained already"),
        ([OutcomeKind.HELD], "the retrain policy holds it"),
        ([OutcomeKind.HELD, OutcomeKind.SUPERSEDED], "needs no decision: why"),
        ([OutcomeKind.FAILED], "was not looked at"),
        ([AWAITING, OutcomeKind.TRAINING_REQUESTED], "is requested already"),
    ],
)
def test_what_does_not_wait_is_not_decided(kinds: list[OutcomeKind], sentence: str) -> None:
    for choice in Decision:
        with pytest.raises(UndecidableError, match=sentence):
            decide(steps("a", 1, *kinds), "a", choice)


def test_an_older_event_than_an_approved_one_waits_for_its_training() -> None:
    log = [*steps("a", 1), *steps("b", 2), *steps("c", 3)]
    approved = [*log, *decide(log[:4], "b", APPROVE, "")]
    with pytest.raises(
        UndecidableError, match=f"{key('b')} was approved by anna, and its training"
    ):
        decide(approved, "a", APPROVE)
    # A newer one is approved for itself; and what is older may be declined all the same.
    assert jobs(decide(approved, "c", APPROVE)) == ["c"]
    assert jobs(decide([*approved, *steps("b2", 2)], "b2", APPROVE)) == ["c"]
    assert jobs(decide(approved[:4] + approved[6:] + steps("b2", 2), "b2", APPROVE)) == ["b2"]
    assert jobs(decide(approved, "a", DECLINE)) == ["a"]


def test_an_event_is_named_by_its_key_its_job_or_as_the_newest() -> None:
    logs = {"one": [*steps("a", 1), *steps("b", 2)], "two": steps("c", 3, OutcomeKind.HELD)}
    assert find_event(logs, "newest") == ("one", key("b"))
    assert find_event(logs, "a") == find_event(logs, key("a")) == ("one", key("a"))
    assert find_event(logs, "c") == ("two", key("c"))
    for name, sentence in (("x", "no drift event 'x' is known"), (MONITOR, "is known")):
        with pytest.raises(UndecidableError, match=sentence):
            find_event(logs, name)
    with pytest.raises(UndecidableError, match="no drift event awaits approval"):
        find_event({"two": logs["two"]}, "newest")
    lacks_labels = {"four": steps("d", 4, OutcomeKind.AWAITING_LABELS)}
    assert find_event(lacks_labels, "newest") == ("four", key("d"))
    assert find_event(logs | lacks_labels, "newest") == ("one", key("b"))
    for name in ("c", "newest"):
        with pytest.raises(UndecidableError, match=f"name one of {key('c')}, {key('c')}"):
            find_event({"two": steps("c", 1), "three": steps("c", 1)}, name)


_DECISIONS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Decision)), max_size=4)


@given(_DECISIONS, st.booleans())
def test_of_decisions_made_on_the_same_log_all_agree_which_counts(
    choices: list[tuple[str, Decision]], is_requested: bool
) -> None:
    log = [*steps("a", 1), *steps("b", 2), *steps("c", 3, ESCALATED)]
    made = [decide(log, job, choice, by=f"p{n}") for n, (job, choice) in enumerate(choices)]
    after = log + [record for records in made for record in records]
    if is_requested:
        after += steps("c", 3, OutcomeKind.TRAINING_REQUESTED)[1:]
    inbox = Inbox()
    inbox.add(after)
    for job in "abc":
        of_event = [x for records in made for x in records if x.key == key(job)]
        counted = counted_decision(after, key(job))
        # The first one.
        assert counted == (of_event[0] if of_event else None)
        for record in of_event[1:]:
            with pytest.raises(
                UndecidableError, match=r"was (approved|declined) at .* came too la"
            ):
                check_counted(after, record)
        if counted is not None:
            check_counted(after, counted)
            item = inbox.open.get(key(job))
            assert (item is None) == (counted.kind == OutcomeKind.DECLINED)
            assert item is None or item.by == counted.by


def test_a_decision_after_the_request_counts_for_nothing() -> None:
    log = steps("a", 1)
    late = [*log, *steps("a", 1, OutcomeKind.TRAINING_REQUESTED)[1:], *decide(log, "a", APPROVE)]
    assert counted_decision(late, key("a")) is None
    with pytest.raises(UndecidableError, match="is requested already, and trains; your decision"):
        check_counted(late, late[-1])
    # Nor does a decline of what was never recorded, as after the log was wiped.
    assert counted_decision(decide(log, "a", DECLINE), key("a")) is None
