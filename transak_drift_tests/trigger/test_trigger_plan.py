"""Each rule by which a tick settles messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.drift_event import DriftEvent, FeatureAnomaly
from transak_drift.trigger import trigger_plan
from transak_drift.trigger.log_entry import RejectionReason
from transak_drift.trigger.message_assessment import Assessment, Drift, NotDrift, Rejected
from transak_drift.trigger.messages import ReceivedMessage
from transak_drift.trigger.retrain_policy import TrainingHistory
from transak_drift.trigger.trigger_plan import (
    ModelTrainings,
    Outcome,
    OutcomeKind,
    RunStorage,
    TickPlan,
    describe,
    events_to_look_up,
    plan_tick,
)
from transak_drift.trigger.trigger_state import HeldEvent, RequestedEvent, TriggerState
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event

NOW = MAY_1 + timedelta(days=2)
EVENT = drift_event("job-1")
OTHER = drift_event("job-2")
REJECTED = Rejected(RejectionReason.NOT_JSON, "the body is not JSON")
IDLE = TrainingHistory(in_flight=0, last_start=None, trained_until=None)
BUSY = TrainingHistory(in_flight=1, last_start=NOW, trained_until=None)
BOTH_FEATURES = RetrainPolicy(minimum_anomalous_features=2)


def delivery(message_id: str, attempt: int = 1) -> ReceivedMessage:
    return ReceivedMessage(message_id, f"{message_id}#{attempt}", b"")


def plan(
    *pulled: tuple[str, Assessment],
    state: TriggerState | None = None,
    runs: RunStorage | None = None,
    history: TrainingHistory = IDLE,
    policy: RetrainPolicy | None = None,
    now: datetime = NOW,
) -> TickPlan:
    """Plan a tick; a message is named `<id>` or `<id>#<attempt>`."""
    assessed = []
    for name, assessment in pulled:
        message_id, _, attempt = name.partition("#")
        assessed.append((delivery(message_id, int(attempt or 1)), assessment))
    return plan_tick(
        state or TriggerState(),
        assessed,
        runs or RunStorage(),
        {MONITOR: ModelTrainings(policy or RetrainPolicy(), history)},
        now,
    )


def kinds(planned: TickPlan) -> dict[OutcomeKind, int]:
    return {outcome.kind: outcome.messages for outcome in planned.outcomes}


def requested(event: DriftEvent, *messages: str, since: datetime = NOW) -> TriggerState:
    entry = RequestedEvent(event=event, since=since, messages={m: f"{m}#1" for m in messages})
    return TriggerState(requested={event.key: entry})


def holding(*events: DriftEvent) -> TriggerState:
    return TriggerState(
        held={event.key: HeldEvent(event=event, reason="x", since=NOW) for event in events}
    )


def both(event: DriftEvent = EVENT) -> RunStorage:
    return RunStorage(created={event.key}, launched={event.key})


def settled(planned: TickPlan) -> bool:
    """Tell whether nothing at all is left for a later tick."""
    return planned.state == TriggerState(superseded=planned.state.superseded)


def test_drift_requests_a_training_and_is_not_acknowledged_yet() -> None:
    planned = plan(("m", Drift(EVENT)))
    assert planned.request == [EVENT]
    assert planned.acknowledge == []
    assert planned.extend == ["m#1"]
    assert planned.dead_letters == []
    assert planned.outcomes == [
        Outcome(OutcomeKind.TRAINING_REQUESTED, EVENT, "description 0.6000 (> 0.3)", 1)
    ]
    entry = planned.state.requested[EVENT.key]
    assert (entry.event, entry.since, entry.messages) == (EVENT, NOW, {"m": "m#1"})


def test_a_launched_run_settles_the_messages_that_waited_for_it() -> None:
    planned = plan(state=requested(EVENT, "m", "n"), runs=both(), history=BUSY)
    assert planned.acknowledge == ["m#1", "n#1"]
    assert planned.request == planned.extend == planned.outcomes == []
    assert settled(planned)


@pytest.mark.parametrize("runs", [RunStorage(), RunStorage(created={EVENT.key})])
def test_until_its_run_is_launched_it_is_requested_again(runs: RunStorage) -> None:
    in_flight = len(runs.created)
    history = TrainingHistory(in_flight=in_flight, last_start=None, trained_until=NOW)
    planned = plan(state=requested(EVENT, "m"), runs=runs, history=history)
    assert planned.request == [EVENT]
    assert planned.acknowledge == planned.outcomes == []
    assert planned.extend == ["m#1"]
    assert planned.state == requested(EVENT, "m")


def test_copies_of_a_message_are_one_request() -> None:
    planned = plan(*[(f"m{i}", Drift(EVENT)) for i in range(200)])
    assert planned.request == [EVENT]
    assert kinds(planned) == {OutcomeKind.DUPLICATE: 199, OutcomeKind.TRAINING_REQUESTED: 1}
    assert planned.state.waiting_messages == len(planned.extend) == 200
    after = plan(state=planned.state, runs=both(), history=BUSY)
    assert len(after.acknowledge) == 200
    assert settled(after)


def test_two_features_of_one_job_are_one_request_that_names_both() -> None:
    second = drift_event("job-1", {"type": 0.9})
    planned = plan(("m", Drift(EVENT)), ("n", Drift(second)))
    (event,) = planned.request
    assert [anomaly.feature for anomaly in event.anomalies] == ["description", "type"]
    assert event.key == EVENT.key


def test_a_feature_that_comes_later_is_in_the_repeated_request() -> None:
    second = drift_event("job-1", {"type": 0.9})
    planned = plan(("n", Drift(second)), state=requested(EVENT, "m"))
    (event,) = planned.request
    assert [anomaly.feature for anomaly in event.anomalies] == ["description", "type"]
    assert sorted(planned.extend) == ["m#1", "n#1"]
    assert kinds(planned) == {OutcomeKind.DUPLICATE: 1}


def test_a_redelivery_takes_the_newest_ack_id_and_is_no_duplicate() -> None:
    planned = plan(("m#2", Drift(EVENT)), state=requested(EVENT, "m"))
    assert planned.extend == ["m#2"]
    assert planned.state.requested[EVENT.key].messages == {"m": "m#2"}
    assert planned.outcomes == []
    twice = plan(("m#1", Drift(EVENT)), ("m#2", Drift(EVENT)))
    assert twice.extend == ["m#2"]
    assert kinds(twice) == {OutcomeKind.TRAINING_REQUESTED: 1}


def test_a_redelivery_after_the_launch_is_acknowledged_by_both_ack_ids() -> None:
    planned = plan(("m#2", Drift(EVENT)), state=requested(EVENT, "m"), runs=both(), history=BUSY)
    assert planned.acknowledge == ["m#1", "m#2"]
    assert planned.outcomes == []


def test_a_late_message_of_a_launched_event_is_acknowledged_as_duplicate() -> None:
    planned = plan(("z", Drift(EVENT)), runs=both(), history=BUSY)
    assert planned.acknowledge == ["z#1"]
    assert planned.request == []
    assert kinds(planned) == {OutcomeKind.DUPLICATE: 1}
    assert settled(planned)


def test_a_run_whose_request_was_forgotten_is_launched_and_not_held_by_itself() -> None:
    # The cursor was lost after the run was created: its own run is the one in flight.
    created = RunStorage(created={EVENT.key})
    for state in (TriggerState(), holding(EVENT)):
        pulled = [] if state.held else [("m", Drift(EVENT))]
        planned = plan(
            *pulled,
            state=state,
            runs=created,
            history=BUSY,
            policy=RetrainPolicy(cooldown_minutes=60, minimum_anomalous_features=1),
        )
        assert planned.request == [EVENT]
        assert planned.state.held == {}
        assert list(planned.state.requested) == [EVENT.key]


def test_a_forgotten_run_is_not_superseded() -> None:
    planned = plan(
        state=holding(EVENT),
        runs=RunStorage(created={EVENT.key}),
        history=TrainingHistory(1, NOW, EVENT.window_end),
    )
    assert planned.request == [EVENT]
    assert kinds(planned) == {OutcomeKind.TRAINING_REQUESTED: 0}


def test_a_forgotten_run_counts_once_as_in_flight() -> None:
    two = RetrainPolicy(maximum_trainings_in_flight=2)
    planned = plan(
        ("m", Drift(EVENT)),
        ("n", Drift(OTHER)),
        runs=RunStorage(created={EVENT.key}),
        history=BUSY,
        policy=two,
    )
    assert planned.request == [EVENT, OTHER]


def test_no_drift_is_recorded_first_and_acknowledged_by_the_next_tick() -> None:
    planned = plan(("m", NotDrift(EVENT)))
    assert kinds(planned) == {OutcomeKind.NOT_DRIFT: 1}
    assert planned.acknowledge == planned.request == []
    assert planned.extend == ["m#1"]
    assert planned.state == TriggerState(recorded={"m": "m#1"})
    after = plan(state=planned.state)
    assert after.acknowledge == ["m#1"]
    assert settled(after)


def test_a_redelivery_of_a_recorded_message_is_only_acknowledged() -> None:
    for assessment in (NotDrift(EVENT), Drift(EVENT)):
        planned = plan(("m#2", assessment), state=TriggerState(recorded={"m": "m#1"}))
        assert planned.acknowledge == ["m#1", "m#2"]
        assert planned.outcomes == planned.request == []
        assert settled(planned)


def test_a_rejected_message_goes_to_the_dead_letters_and_stops_nothing() -> None:
    planned = plan(("a", REJECTED), ("m", Drift(EVENT)), ("b", REJECTED), ("a#2", REJECTED))
    letters = [(letter.message.ack_id, letter.rejection) for letter in planned.dead_letters]
    assert letters == [("a#2", REJECTED), ("b#1", REJECTED)]
    assert planned.request == [EVENT]
    assert planned.acknowledge == []


def test_a_held_event_is_recorded_with_its_reason_and_then_acknowledged() -> None:
    planned = plan(("m", Drift(EVENT)), ("n", Drift(EVENT)), history=BUSY)
    assert planned.request == planned.acknowledge == []
    assert planned.outcomes[-1] == Outcome(OutcomeKind.HELD, EVENT, "1 training(s) in flight")
    held = planned.state.held[EVENT.key]
    assert (held.event, held.reason, held.since) == (EVENT, "1 training(s) in flight", NOW)
    assert planned.state.recorded == {"m": "m#1", "n": "n#1"}
    after = plan(state=planned.state, history=BUSY)
    assert after.acknowledge == ["m#1", "n#1"]
    assert after.outcomes == []
    assert list(after.state.held) == [EVENT.key]


def test_a_held_event_trains_once_the_hold_ends() -> None:
    planned = plan(state=holding(EVENT))
    assert planned.request == [EVENT]
    assert planned.outcomes == [Outcome(OutcomeKind.TRAINING_REQUESTED, EVENT, describe(EVENT), 0)]
    assert planned.state == requested(EVENT)


def test_a_held_event_is_superseded_when_the_baseline_reached_its_end() -> None:
    history = TrainingHistory(0, NOW - timedelta(days=1), EVENT.window_end)
    planned = plan(state=holding(EVENT), history=history)
    assert planned.request == []
    assert kinds(planned) == {OutcomeKind.SUPERSEDED: 0}
    assert "2026-05-02 00:00 UTC" in planned.outcomes[0].detail
    assert planned.state == TriggerState(superseded=[EVENT.key])
    # A second feature's message that comes late does not train what was answered.
    late = plan(("z", Drift(drift_event("job-1", {"type": 0.9}))), state=planned.state)
    assert late.acknowledge == ["z#1"]
    assert late.request == []
    assert kinds(late) == {OutcomeKind.DUPLICATE: 1}


def test_a_held_event_of_a_later_window_stands() -> None:
    history = TrainingHistory(0, None, EVENT.window_end - timedelta(microseconds=1))
    assert plan(state=holding(EVENT), history=history).request == [EVENT]


def test_a_held_event_with_a_launched_run_is_forgotten() -> None:
    planned = plan(state=holding(EVENT), runs=both(), history=BUSY)
    assert planned.request == planned.outcomes == []
    assert settled(planned)


def test_a_held_event_waits_with_its_present_reason() -> None:
    last_start = NOW - timedelta(minutes=1)
    planned = plan(
        state=holding(EVENT),
        history=TrainingHistory(0, last_start, None),
        policy=RetrainPolicy(cooldown_minutes=5),
    )
    assert planned.state.held[EVENT.key].reason == "cooldown until 2026-05-03 00:04:00 UTC"
    assert planned.outcomes == []


def test_a_further_feature_releases_an_event_held_for_too_few() -> None:
    first = plan(("m", Drift(EVENT)), policy=BOTH_FEATURES)
    assert kinds(first) == {OutcomeKind.HELD: 1}
    second = drift_event("job-1", {"type": 0.9})
    planned = plan(("n", Drift(second)), state=first.state, policy=BOTH_FEATURES)
    (event,) = planned.request
    assert [anomaly.feature for anomaly in event.anomalies] == ["description", "type"]
    assert planned.state.recorded == {"n": "n#1"}
    assert planned.acknowledge == ["m#1"]
    same = plan(("n", Drift(EVENT)), state=first.state, policy=BOTH_FEATURES)
    assert same.request == []


def test_two_events_of_one_pull_train_one_after_the_other() -> None:
    planned = plan(("m", Drift(EVENT)), ("n", Drift(OTHER)))
    assert planned.request == [EVENT]
    assert list(planned.state.held) == [OTHER.key]


def test_held_events_train_before_new_ones_and_oldest_first() -> None:
    third = drift_event("job-3")
    planned = plan(("m", Drift(EVENT)), state=holding(OTHER, third))
    assert planned.request == [OTHER]
    assert list(planned.state.held) == [third.key, EVENT.key]


def test_a_request_without_a_run_yet_counts_for_the_policy() -> None:
    one = plan(("n", Drift(OTHER)), state=requested(EVENT, "m"))
    assert one.request == [EVENT]
    assert list(one.state.held) == [OTHER.key]
    # Two may be in flight, but the cooldown counts from the request whose run is not there yet.
    policy = RetrainPolicy(maximum_trainings_in_flight=2, cooldown_minutes=60)
    waiting = requested(EVENT, "m", since=NOW - timedelta(minutes=59))
    assert plan(("n", Drift(OTHER)), state=waiting, policy=policy).request == [EVENT]
    waiting = requested(EVENT, "m", since=NOW - timedelta(minutes=60))
    assert plan(("n", Drift(OTHER)), state=waiting, policy=policy).request == [EVENT, OTHER]


def test_two_in_flight_are_still_apart_by_the_cooldown() -> None:
    policy = RetrainPolicy(maximum_trainings_in_flight=2, cooldown_minutes=60)
    planned = plan(("m", Drift(EVENT)), ("n", Drift(OTHER)), policy=policy)
    assert planned.request == [EVENT]
    assert planned.state.held[OTHER.key].reason.startswith("cooldown until")


def test_beyond_the_most_held_events_pub_sub_keeps_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trigger_plan, "MOST_HELD_EVENTS", 2)
    planned = plan(
        ("a", Drift(drift_event("a"))),
        ("b", Drift(drift_event("b"))),
        ("c", Drift(drift_event("c"))),
        history=BUSY,
    )
    assert [outcome.kind for outcome in planned.outcomes] == [
        OutcomeKind.HELD,
        OutcomeKind.HELD,
        OutcomeKind.DEFERRED,
    ]
    assert set(planned.state.recorded) == {"a", "b"}
    assert "c#1" not in planned.extend
    assert plan(state=planned.state, history=BUSY).acknowledge == ["a#1", "b#1"]


def test_the_memory_of_superseded_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_plan, "MOST_SUPERSEDED_EVENTS", 2)
    state = holding(EVENT)
    state.superseded = ["a", "b"]
    history = TrainingHistory(0, None, EVENT.window_end)
    assert plan(state=state, history=history).state.superseded == ["b", EVENT.key]


def test_a_plan_leaves_the_state_it_was_given_alone() -> None:
    state = holding(OTHER)
    state.requested = requested(EVENT, "m").requested
    state.recorded = {"r": "r#1"}
    before = state.model_copy(deep=True)
    plan(
        ("n", Drift(drift_event("job-1", {"type": 0.9}))),
        ("o", Drift(drift_event("job-2", {"type": 0.9}))),
        ("p", NotDrift(EVENT)),
        state=state,
    )
    assert state == before


def test_what_a_tick_must_look_up() -> None:
    state = holding(OTHER)
    state.requested = requested(EVENT, "m").requested
    third = drift_event("job-3")
    pulled: Sequence[tuple[ReceivedMessage, Assessment]] = [
        (delivery("a"), Drift(third)),
        (delivery("b"), NotDrift(drift_event("job-4"))),
        (delivery("c"), REJECTED),
    ]
    assert events_to_look_up(state, pulled) == {EVENT.key, OTHER.key, third.key}


@pytest.mark.parametrize(
    ("pulled", "history", "sentence"),
    [
        ({}, IDLE, "0 messages, nothing to do"),
        ({"m": Drift(EVENT)}, IDLE, "1 message: 1 training requested"),
        (
            {"m": Drift(EVENT), "n": Drift(EVENT), "a": REJECTED},
            IDLE,
            "3 messages: 1 duplicate, 1 training requested, 1 dead-lettered (not_json)",
        ),
        ({"m": Drift(EVENT), "n": NotDrift(OTHER)}, BUSY, "2 messages: 1 held, 1 not drift"),
    ],
)
def test_the_sentence_of_a_tick_counts_messages(
    pulled: Mapping[str, Assessment], history: TrainingHistory, sentence: str
) -> None:
    assert plan(*pulled.items(), history=history).sentence(len(pulled)) == sentence


def test_the_sentence_tells_acknowledgements() -> None:
    planned = plan(state=requested(EVENT, "m"), runs=both(), history=BUSY)
    assert planned.sentence(0) == "0 messages: 1 acknowledged"


def test_an_event_is_described_with_its_distances_and_thresholds() -> None:
    event = replace(
        EVENT,
        anomalies=(
            FeatureAnomaly("description", 0.61234, 0.3),
            FeatureAnomaly("type", 0.3, 0.3),
            FeatureAnomaly("amount", 0.5, None),
        ),
    )
    assert describe(event) == "description 0.6123 (> 0.3), type 0.3000 (<= 0.3), amount 0.5000"


OTHER_MONITOR = "transak-i2-data-drift-monitor"


def of_other_model(event: DriftEvent) -> DriftEvent:
    return replace(event, model_monitor_id=OTHER_MONITOR)


def test_each_model_of_a_subscription_has_its_own_policy_and_history() -> None:
    ours, theirs = drift_event("job-1"), of_other_model(drift_event("job-1"))
    assert ours.key != theirs.key
    planned = plan_tick(
        TriggerState(),
        [(delivery("ours"), Drift(ours)), (delivery("theirs"), Drift(theirs))],
        RunStorage(),
        {
            MONITOR: ModelTrainings(RetrainPolicy(), BUSY),
            OTHER_MONITOR: ModelTrainings(RetrainPolicy(), IDLE),
        },
        NOW,
    )
    assert planned.request == [theirs]
    assert set(planned.state.held) == {ours.key}


def test_a_request_counts_for_its_own_model_alone() -> None:
    events = [drift_event("1"), of_other_model(drift_event("1")), drift_event("2")]
    planned = plan_tick(
        TriggerState(),
        [(delivery(str(n)), Drift(event)) for n, event in enumerate(events)],
        RunStorage(),
        {name: ModelTrainings(RetrainPolicy(), IDLE) for name in (MONITOR, OTHER_MONITOR)},
        NOW,
    )
    assert planned.request == events[:2]
    assert set(planned.state.held) == {events[2].key}


def test_events_of_a_model_taken_out_are_held_and_return_with_it() -> None:
    gone = of_other_model(drift_event())
    state = requested(gone, "message")
    without = plan(state=state)
    assert without.request == []
    assert without.extend == ["message#1"]
    assert "monitored no longer" in without.state.held[gone.key].reason
    assert kinds(without) == {OutcomeKind.HELD: 0}

    still_without = plan(state=without.state)
    assert still_without.acknowledge == ["message#1"]
    assert set(still_without.state.held) == {gone.key}
    assert still_without.outcomes == []

    back = plan_tick(
        still_without.state,
        [],
        RunStorage(),
        {OTHER_MONITOR: ModelTrainings(RetrainPolicy(), IDLE)},
        NOW,
    )
    assert back.request == [gone]
    assert back.state.held == {}
