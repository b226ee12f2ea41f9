"""Which open drift events train now, which are held, and which a later training has answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.trigger import decision as decision_module
from transak_drift.trigger.decision import Decision, Decisions, TrainingRuns, decide
from transak_drift.trigger.inbox import Inbox, OpenEvent, OutcomeKind
from transak_drift.trigger.retrain_policy import NO_HISTORY, TrainingHistory
from transak_drift_tests.trigger.drift_messages import MAY_1

NOW = MAY_1 + timedelta(days=30)
REQUESTED, HELD = OutcomeKind.TRAINING_REQUESTED, OutcomeKind.HELD


def an_event(day: int, kind: OutcomeKind = OutcomeKind.DRIFT, **changes: object) -> OpenEvent:
    values = {
        "kind": kind,
        "since": NOW,
        "record": day,
        "window_end": MAY_1 + timedelta(days=day),
        "features": 1,
        "most_drifted": "type",
    }
    return OpenEvent.model_validate({**values, **changes})


def decide_on(
    events: dict[str, OpenEvent],
    history: TrainingHistory = NO_HISTORY,
    runs: TrainingRuns | None = None,
    now: datetime = NOW,
    **policy: int,
) -> Decisions:
    inbox = Inbox(open=events)
    return decide(inbox, RetrainPolicy(**policy), history, runs or TrainingRuns(), now)


def kinds(decisions: Decisions) -> dict[str, OutcomeKind]:
    return {step.key: step.kind for step in decisions.steps}


def test_a_new_event_is_requested_and_the_next_one_held() -> None:
    decisions = decide_on({"a": an_event(1), "b": an_event(2)})
    assert kinds(decisions) == {"a": REQUESTED, "b": HELD}
    assert (decisions.request, decisions.held) == (("a",), 1)
    assert decisions.steps[1] == Decision(HELD, "b", "1 training(s) in flight")


def test_a_request_whose_run_is_not_there_is_made_again_and_counts() -> None:
    events = {"a": an_event(1, REQUESTED), "b": an_event(2)}
    decisions = decide_on(events)
    assert decisions.request == ("a",)
    assert kinds(decisions) == {"b": HELD}
    created = decide_on(events, TrainingHistory(1, NOW, None), TrainingRuns({"a"}))
    assert created.request == ("a",)
    launched = decide_on(
        {"a": an_event(1, REQUESTED)}, runs=TrainingRuns(frozenset("a"), frozenset("a"))
    )
    assert kinds(launched) == {"a": OutcomeKind.TRAINING_STARTED}
    assert launched.request == ()


def test_two_requests_in_flight_where_the_policy_allows_two() -> None:
    events = {"a": an_event(1), "b": an_event(2), "c": an_event(3)}
    decisions = decide_on(events, maximum_trainings_in_flight=2)
    assert decisions.request == ("a", "b")


def test_the_newest_held_window_trains_first_and_before_new_events() -> None:
    events = {"a": an_event(1, HELD), "b": an_event(3, HELD), "c": an_event(9)}
    assert decide_on(events).request == ("b",)


def test_a_held_event_is_superseded_by_a_training_beyond_its_window() -> None:
    held = {"a": an_event(5, HELD)}
    end = MAY_1 + timedelta(days=5)
    for history in (
        TrainingHistory(0, None, baseline_until=end),
        TrainingHistory(0, None, None, evaluated_until=end + timedelta(seconds=1)),
    ):
        assert kinds(decide_on(held, history)) == {"a": OutcomeKind.SUPERSEDED}
    at_its_end = TrainingHistory(0, None, None, evaluated_until=end)
    assert decide_on(held, at_its_end).request == ("a",), "a training up to the window is not past"
    # A new event is never asked: it may be a day that is monitored again.
    assert decide_on({"a": an_event(5)}, TrainingHistory(0, None, end)).request == ("a",)


def test_a_hold_is_recorded_once_and_ends_by_itself() -> None:
    history = TrainingHistory(0, NOW - timedelta(minutes=9), None)
    held = {"a": an_event(5, HELD)}
    waiting = decide_on(held, history, cooldown_minutes=10)
    assert (waiting.steps, waiting.held) == ((), 1)
    later = NOW + timedelta(minutes=1)
    assert decide_on(held, history, now=later, cooldown_minutes=10).request == ("a",)
    few = decide_on({"a": an_event(1)}, minimum_anomalous_features=2)
    assert few.steps[0].detail == "1 drifted feature(s), the policy asks for 2"


def test_a_job_without_an_end_is_not_decided() -> None:
    waiting = an_event(1, OutcomeKind.WAITING, window_end=None)
    assert decide_on({"a": waiting}) == Decisions((), (), 0)


def test_one_event_that_raises_is_recorded_once_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = decision_module.hold_back

    def hold_back(features: int, *rest: Any) -> Any:
        if features == 7:
            raise OverflowError("date value out of range")
        return original(features, *rest)

    monkeypatch.setattr(decision_module, "hold_back", hold_back)
    events = {"bad": an_event(1, features=7), "good": an_event(2)}
    decisions = decide_on(events)
    assert kinds(decisions) == {"bad": OutcomeKind.FAILED, "good": REQUESTED}
    events["bad"].error = decisions.steps[0].detail
    assert "bad" not in kinds(decide_on(events))
