"""Which open drift events train now, which are held back, and which a training has answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.trigger.decision import (
    Gate,
    TrainingHistory,
    decide,
    hold_back,
)
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event

NOW = MAY_1 + timedelta(days=30)
HOUR = timedelta(hours=1)
AN_HOUR = {"cooldown_minutes": 60}
NO_HISTORY = TrainingHistory()
Decisions = tuple[list[TriggerRecord], list[DriftEvent]]
REQUESTED, HELD = OutcomeKind.TRAINING_REQUESTED, OutcomeKind.HELD
AWAITING, APPROVED = OutcomeKind.AWAITING_APPROVAL, OutcomeKind.APPROVED


def an_event(
    job: str, day: int, kind: OutcomeKind = OutcomeKind.DRIFT, by: str = "", **distances: float
) -> TriggerRecord:
    event = drift_event(job, distances or None, end=MAY_1 + timedelta(days=day))
    return TriggerRecord(kind=kind, key=event.key, detail="", at=NOW, event=event, by=by)


def decide_on(
    *events: TriggerRecord,
    history: TrainingHistory = NO_HISTORY,
    runs: dict[str, bool] | None = None,
    now: datetime = NOW,
    gates: Sequence[Gate] = (),
    **policy: int | str,
) -> Decisions:
    inbox = Inbox(open={item.event.key: item for item in events if item.event is not None})
    launched = {f"{MONITOR}/{job}": is_launched for job, is_launched in (runs or {}).items()}
    history = replace(history, runs=launched)
    return decide(inbox, RetrainPolicy.model_validate(policy), history, now, request, gates)


def request(event: DriftEvent) -> DriftEvent:
    """Refuse an event that nothing could train."""
    if event.monitoring_job_id == "bad":
        raise OverflowError("date value out of range")
    return event


def kinds(decisions: Decisions) -> dict[str, OutcomeKind]:
    steps, _ = decisions
    return {step.key.rpartition("/")[2]: step.kind for step in steps}


def requested(decisions: Decisions) -> list[str]:
    _, events = decisions
    return [event.monitoring_job_id for event in events]


def test_a_new_event_is_requested_and_the_next_one_held() -> None:
    decisions = decide_on(an_event("a", 1), an_event("b", 2))
    assert kinds(decisions) == {"a": REQUESTED, "b": HELD}
    assert requested(decisions) == ["a"]
    assert [step.detail for step in decisions[0]] == [
        "description 0.6000 > 0.3",
        "1 training(s) in flight",
    ]
    two = decide_on(*(an_event(job, 1) for job in "abc"), maximum_trainings_in_flight=2)
    assert requested(two) == ["a", "b"]


def test_a_request_whose_run_is_not_there_is_made_again_and_counts() -> None:
    events = [an_event("a", 1, REQUESTED), an_event("b", 2)]
    decisions = decide_on(*events)
    assert (requested(decisions), kinds(decisions)) == (["a"], {"b": HELD})
    in_flight = TrainingHistory(1, NOW, None)
    created = decide_on(*events, history=in_flight, runs={"a": False})
    assert requested(created) == ["a"]
    # It counts once, whether its run is there or not.
    for history, runs in ((NO_HISTORY, {}), (in_flight, {"a": False})):
        two = decide_on(*events, history=history, runs=runs, maximum_trainings_in_flight=2)
        assert requested(two) == ["a", "b"]
    launched = decide_on(events[0], runs={"a": True})
    assert (requested(launched), kinds(launched)) == ([], {"a": OutcomeKind.TRAINING_STARTED})


def test_the_newest_held_window_trains_first_and_before_new_events() -> None:
    events = [an_event("a", 1, HELD), an_event("b", 3, HELD), an_event("c", 9)]
    assert requested(decide_on(*events)) == ["b"]


def test_a_held_event_is_superseded_by_a_training_beyond_its_window() -> None:
    held, end = an_event("a", 5, HELD), MAY_1 + timedelta(days=5)
    second = timedelta(seconds=1)
    for beyond in (
        TrainingHistory(baseline_until=end),
        TrainingHistory(baseline_until=end + HOUR),
        TrainingHistory(evaluated_until=end + second),
    ):
        assert kinds(decide_on(held, history=beyond)) == {"a": OutcomeKind.SUPERSEDED}
        # A new event is never asked: it may be a day that is monitored again.
        assert requested(decide_on(an_event("a", 5), history=beyond)) == ["a"]
    short = TrainingHistory(baseline_until=end - second, evaluated_until=end)
    assert requested(decide_on(held, history=short)) == ["a"]


def test_with_manual_approval_an_event_waits_until_it_is_approved_and_is_asked_about_once() -> None:
    decisions = decide_on(an_event("a", 1), an_event("few", 2), approval="manual")
    assert kinds(decisions) == {"a": AWAITING, "few": AWAITING}
    assert requested(decisions) == []
    # What may not train anyway, nobody is asked about.
    assert kinds(
        decide_on(an_event("few", 2), minimum_anomalous_features=2, approval="manual")
    ) == {"few": HELD}
    waiting = an_event("a", 1, AWAITING)
    assert decide_on(waiting, approval="manual") == ([], [])
    approved = an_event("a", 1, APPROVED, by="anna")
    steps, events = decide_on(waiting, approved, approval="manual")
    assert [(step.kind, step.by, step.key) for step in steps] == [(REQUESTED, "anna", approved.key)]
    assert [event.monitoring_job_id for event in events] == ["a"]
    # An approved event is held like any other.
    busy = TrainingHistory(in_flight=1)
    assert kinds(decide_on(approved, history=busy, approval="manual")) == {"a": HELD}
    held = an_event("a", 1, HELD, by="anna")
    assert requested(decide_on(held, approval="manual")) == ["a"]


def test_of_approved_events_the_newest_trains_and_its_training_answers_those_that_waited() -> None:
    two = [an_event(job, day, APPROVED, by="anna") for job, day in (("a", 1), ("b", 3))]
    assert requested(decide_on(*two, approval="manual")) == ["b"]
    older = an_event("c", 2, AWAITING)
    beyond = TrainingHistory(baseline_until=MAY_1 + timedelta(days=3), evaluated_at=NOW + HOUR)
    assert kinds(decide_on(older, history=beyond, approval="manual")) == {
        "c": OutcomeKind.SUPERSEDED
    }
    # A training that ended before the event was found leaves it to a person.
    for before in (NOW - HOUR, NOW):
        history = replace(beyond, evaluated_at=before)
        assert decide_on(older, history=history, approval="manual") == ([], [])


def test_changed_approval_takes_effect_on_what_is_undecided() -> None:
    waiting = [an_event("a", 1, AWAITING), an_event("b", 3, AWAITING)]
    assert kinds(decide_on(*waiting)) == {"a": HELD, "b": REQUESTED}
    now_manual = decide_on(an_event("a", 1, HELD), an_event("b", 3, REQUESTED), approval="manual")
    assert (kinds(now_manual), requested(now_manual)) == ({"a": AWAITING}, ["b"])


def test_a_gate_is_asked_about_what_was_approved_and_a_fault_of_it_stops_no_other() -> None:
    asked: list[str] = []

    def gate(item: TriggerRecord, event: DriftEvent) -> tuple[OutcomeKind, str] | None:
        asked.append(event.monitoring_job_id)
        if event.monitoring_job_id == "bad":
            raise ZeroDivisionError
        return (OutcomeKind.AWAITING_LABELS, "3 lack") if event.monitoring_job_id == "a" else None

    approved = [an_event(job, 1, APPROVED, by="anna") for job in ("a", "bad", "b")]
    decisions = decide_on(an_event("waits", 2), *approved, gates=[gate], approval="manual")
    assert kinds(decisions) == {
        "waits": AWAITING,
        "a": OutcomeKind.AWAITING_LABELS,
        "bad": OutcomeKind.FAILED,
        "b": REQUESTED,
    }
    assert asked == ["a", "bad", "b"]


def test_what_awaits_labels_is_recorded_again_with_other_numbers_and_trains_once_it_has_them() -> (
    None
):
    said: list[str | None] = ["3 lack", "3 lack", "1 lacks", None]

    def gate(item: TriggerRecord, event: DriftEvent) -> tuple[OutcomeKind, str] | None:
        text = said.pop(0)
        return None if text is None else (OutcomeKind.AWAITING_LABELS, text)

    inbox = Inbox()
    inbox.add([an_event("a", 1)])
    recorded = []
    while said:
        steps, events = decide(
            inbox, RetrainPolicy(), TrainingHistory(), NOW, request, gates=[gate]
        )
        inbox.add(steps)
        recorded += [(step.kind, step.detail) for step in steps]
    assert recorded == [
        (OutcomeKind.AWAITING_LABELS, "3 lack"),
        (OutcomeKind.AWAITING_LABELS, "1 lacks"),
        (REQUESTED, "description 0.6000 > 0.3"),
    ]
    assert [event.monitoring_job_id for event in events] == ["a"]


def test_what_awaits_labels_is_superseded_by_a_training_beyond_its_window() -> None:
    waiting = an_event("a", 5, OutcomeKind.AWAITING_LABELS)
    beyond = TrainingHistory(evaluated_until=MAY_1 + timedelta(days=6))
    assert kinds(decide_on(waiting, history=beyond)) == {"a": OutcomeKind.SUPERSEDED}


def test_a_hold_is_recorded_once_and_ends_by_itself() -> None:
    history = TrainingHistory(0, NOW - timedelta(minutes=9), None)
    held = an_event("a", 5, HELD)
    waiting = decide_on(held, history=history, cooldown_minutes=10)
    assert waiting == ([], [])
    later = NOW + timedelta(minutes=1)
    assert requested(decide_on(held, history=history, now=later, cooldown_minutes=10)) == ["a"]


def test_one_event_that_raises_is_recorded_once_and_stops_no_other() -> None:
    bad, good = an_event("bad", 1), an_event("good", 2)
    decisions = decide_on(bad, good)
    assert kinds(decisions) == {"bad": OutcomeKind.FAILED, "good": REQUESTED}
    bad = bad.model_copy(update={"detail": decisions[0][0].detail})
    assert "bad" not in kinds(decide_on(bad, good))


@pytest.mark.parametrize(
    ("policy", "in_flight", "last_start", "hold"),
    [
        ({}, 0, None, None),
        ({"minimum_anomalous_features": 3}, 0, None, "2 drifted feature(s), the policy asks for 3"),
        ({"minimum_anomalous_features": 2}, 0, None, None),
        ({}, 1, None, "1 training(s) in flight"),
        ({"maximum_trainings_in_flight": 2}, 1, None, None),
        ({"maximum_trainings_in_flight": 2}, 3, None, "3 training(s) in flight"),
        (AN_HOUR, 0, -HOUR + timedelta(microseconds=1), "cooldown until 2026-05-01 00:00:00 UTC"),
        (AN_HOUR, 0, -HOUR, None),
        # A clock that was set back a little prolongs the cooldown, and a lot ends it.
        (AN_HOUR, 0, HOUR, "cooldown until 2026-05-01 02:00:00 UTC"),
        (AN_HOUR, 0, timedelta(days=365 * 20), None),
        ({"cooldown_minutes": 0}, 0, timedelta(0), None),
        ({"cooldown_minutes": 0}, 0, timedelta(seconds=1), None),
    ],
)
def test_what_the_policy_holds_back_and_for_how_long(
    policy: dict[str, int], in_flight: int, last_start: timedelta | None, hold: str | None
) -> None:
    history = TrainingHistory(in_flight, None if last_start is None else MAY_1 + last_start)
    assert hold_back(2, RetrainPolicy.model_validate(policy), history, MAY_1) == hold


@settings(deadline=None)
@given(
    cooldown=st.integers(0, 525_600),
    last_start=st.none() | st.datetimes(timezones=st.just(UTC)),
    now=st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
)
def test_no_cooldown_holds_longer_than_twice_its_length(
    cooldown: int, last_start: datetime | None, now: datetime
) -> None:
    policy = RetrainPolicy(cooldown_minutes=cooldown)
    hold = hold_back(1, policy, TrainingHistory(0, last_start, None), now)
    if hold is not None:
        shown = hold.removeprefix("cooldown until ").removesuffix(" UTC")
        until = datetime.strptime(shown, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        # It is shown to the second.
        assert now - timedelta(seconds=1) < until <= now + 2 * timedelta(minutes=cooldown)
    elif last_start is not None and last_start <= now:
        assert now - last_start >= timedelta(minutes=cooldown)
