"""The same drift trains so often at most, and a new one always; then a person is asked, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.training.rollback import Rollback
from transak_drift.trigger.decision import (
    QuietWindow,
    TrainingHistory,
    decide,
    escalation,
    same_drift,
)
from transak_drift.trigger.inbox import HELD_BACK, Inbox, OutcomeKind, TriggerRecord
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event
from transak_drift_tests.trigger.trigger_world import Run, TriggerWorld

FEATURES = ("description", "type")
DAYS = 12
NOW = MAY_1 + timedelta(days=30)


def day_end(day: int) -> datetime:
    return MAY_1 + timedelta(days=day)


def event(day: int, *features: str) -> DriftEvent:
    return drift_event(f"job-{day}", dict.fromkeys(features or ("type",), 0.6), end=day_end(day))


def quiet(day: int, *features: str) -> QuietWindow:
    return QuietWindow(day_end(day), frozenset((name, "feature") for name in features or FEATURES))


def days_of(events: Sequence[DriftEvent]) -> list[int]:
    return [(item.window_end - MAY_1).days for item in events]


def a_rollback(**changes: object) -> Rollback:
    return Rollback(
        champion_before="3",
        champion_after="1",
        by="ada",
        at=NOW,
        reason="wrong labels",
        undone_until=day_end(5),
        trained_until=MAY_1,
    ).model_copy(update=changes)


def test_the_same_drift_is_of_the_same_features_without_a_quiet_window_between() -> None:
    trained = [event(1), event(2, "type", "description"), event(3, "description"), event(4)]
    assert days_of(same_drift(event(6), trained, ())) == [1, 2, 4]
    # A feature that has not drifted before is a new drift.
    assert days_of(same_drift(event(6, "type", "description"), trained, ())) == [2]
    assert days_of(same_drift(event(6), trained, [quiet(3)])) == [4]
    # Also of windows that are monitored later, in whatever order.
    assert days_of(same_drift(event(0), trained, [quiet(3)])) == [1, 2]
    # A window that is without drift of another feature ends nothing, nor does one of the two.
    assert days_of(same_drift(event(6), trained, [quiet(5, "description")])) == [1, 2, 4]
    assert days_of(same_drift(event(6), trained, [quiet(6), quiet(4)])) == [4]
    both = [event(2, "type", "description")]
    half = same_drift(event(6, "type", "description"), both, [quiet(4, "type")])
    assert days_of(half) == [2]


def test_a_baseline_that_has_learned_from_a_drift_ends_it_for_later_windows() -> None:
    trained = [event(1), event(2), event(4)]
    for reached, same in ((0, [1, 2, 4]), (1, [2, 4]), (3, [4]), (4, []), (6, [1, 2, 4])):
        assert days_of(same_drift(event(6), trained, (), [day_end(reached)])) == same
    assert days_of(same_drift(event(3), trained, (), [day_end(4)])) == [1, 2, 4]


def test_an_event_does_not_count_for_itself_and_predictions_are_no_feature() -> None:
    trained = [event(1)]
    assert same_drift(event(1), trained, ()) == []
    [feature] = event(2).features
    of_predictions = feature.model_copy(update={"objective": "prediction"})
    other = event(2).model_copy(update={"features": (of_predictions,)})
    assert same_drift(other, trained, ()) == []


def test_all_events_of_one_drift_are_escalated_for_the_same_reason() -> None:
    policy, trained = RetrainPolicy(maximum_trainings_per_drift=2), [event(1), event(2)]
    history = TrainingHistory()
    reasons = {escalation(event(day), policy, history, trained) for day in (3, 4, 5)}
    [reason] = reasons
    assert reason is not None
    assert reason.startswith(
        "2 trainings, the first for the window until 2026-05-02 00:00 UTC, have answered this "
        "drift of type, and it still stands"
    )
    assert escalation(event(3), policy, history, trained[:1]) is None
    assert escalation(event(3, "description"), policy, history, trained) is None
    # Further monitoring jobs of one window tell of no training that did not help.
    again = [event(1).model_copy(update={"monitoring_job_id": f"again-{n}"}) for n in range(9)]
    assert escalation(event(1), policy, history, again) is None
    assert escalation(event(2), policy, history, again) is None
    assert escalation(event(3), policy, history, [*again, event(2)]) is not None


def opened(*items: DriftEvent, by: str = "") -> Inbox:
    inbox = Inbox()
    for item in items:
        record = TriggerRecord(kind=OutcomeKind.DRIFT, key=item.key, detail="", at=NOW, event=item)
        inbox.add([record])
        if by:
            inbox.add([record.model_copy(update={"kind": OutcomeKind.APPROVED, "by": by})])
    return inbox


def test_what_a_rollback_has_undone_trains_only_once_a_person_says_so() -> None:
    history = TrainingHistory(rollback=a_rollback(), baseline_until=MAY_1)
    policy = RetrainPolicy(maximum_trainings_in_flight=9)
    inbox = opened(event(4), event(5), event(6))
    steps, requests = decide(inbox, policy, history, NOW, lambda item: item)
    assert days_of(requests) == [6]
    found = {step.key[-1]: step.kind for step in steps}
    escalated = OutcomeKind.ESCALATED
    assert found == {"4": escalated, "5": escalated, "6": OutcomeKind.TRAINING_REQUESTED}
    details = {step.detail for step in steps if step.kind == escalated}
    assert details == {
        "rolled back by ada on 2026-05-31 00:00 UTC from version 3 to version 1: wrong labels; "
        "approve the event or run the job retrain, to train again"
    }
    # They stay so, until a later training has seen their windows, or a person approves.
    inbox.add(steps)
    history = replace(history, runs={event(6).key: True})
    steps, _ = decide(inbox, policy, history, NOW, lambda item: item)
    assert [step.kind for step in steps] == [OutcomeKind.TRAINING_STARTED]
    after = TrainingHistory(evaluated_until=day_end(6), evaluated_at=NOW)
    steps, _ = decide(inbox, policy, after, NOW, lambda item: item)
    superseded = [step.key[-1] for step in steps if step.kind == OutcomeKind.SUPERSEDED]
    assert sorted(superseded) == ["4", "5"]
    _, requests = decide(opened(event(4), by="ada"), policy, history, NOW, lambda item: item)
    assert days_of(requests) == [4]


def test_several_trainings_of_one_tick_count() -> None:
    policy = RetrainPolicy(maximum_trainings_in_flight=9, maximum_trainings_per_drift=2)
    inbox = opened(*(event(day) for day in range(1, 6)))
    steps, requests = decide(inbox, policy, TrainingHistory(), NOW, lambda item: item)
    assert len(requests) == 2
    assert [step.kind for step in steps].count(OutcomeKind.ESCALATED) == 3
    # A request that is made again is none more.
    inbox.add(steps)
    _, again = decide(inbox, policy, TrainingHistory(), NOW, lambda item: item)
    assert again == requests
    assert inbox.trained == requests


days = st.lists(st.sets(st.sampled_from(FEATURES)), min_size=DAYS, max_size=DAYS)


@settings(max_examples=40)
@given(
    drifted=days,
    order=st.permutations(range(DAYS)),
    maximum=st.integers(1, 3),
    in_flight=st.integers(1, 3),
    promotes=st.booleans(),
)
def test_no_drift_trains_more_often_than_allowed_and_a_new_one_always_does(
    drifted: list[set[str]],
    order: list[int],
    maximum: int,
    in_flight: int,
    promotes: bool,
) -> None:
    policy = {
        "maximum_trainings_per_drift": maximum,
        "maximum_trainings_in_flight": in_flight,
    }
    thresholds = dict.fromkeys(FEATURES, 0.3)
    world = TriggerWorld(configuration(drift_thresholds=thresholds, retrain_policy=policy))
    for day, features in enumerate(drifted):
        distances = {name: 0.6 if name in features else 0.1 for name in FEATURES}
        world.platform.put(f"job-{day}", distances, day_end(day))

    def finish(run: Run) -> None:
        run.is_finished = True
        # Windows are found as they were put, whatever is the baseline.
        world.evaluated_until = run.window_end
        if promotes:
            world.trained_until = run.window_end
            world.baselines.append(run.window_end)

    def settle() -> None:
        for _ in range(3 * DAYS):
            before = len(world.log)
            world.tick(0, list.sort)
            for run in world.runs.values():
                if run.launches and not run.is_finished:
                    finish(run)
            if len(world.log) == before:
                return
        raise AssertionError("the trigger does not come to rest")

    def alike(day: int, trained: Sequence[int]) -> list[int]:
        """Return the days of the same drift, told apart without the code under test."""

        def are_apart(other: int) -> bool:
            earlier, later = sorted((day, other))
            between = set(range(earlier + 1, later)) & set(known)
            is_learned = promotes and not set(range(earlier, later)).isdisjoint(trained)
            return is_learned or any(drifted[day].isdisjoint(drifted[item]) for item in between)

        others = [other for other in trained if other != day and drifted[day] <= drifted[other]]
        return [other for other in others if not are_apart(other)]

    known: list[int] = []
    for day in order:
        known.append(day)
        # Its report, and what it found.
        world.reported.add(f"job-{day}")
        before = len(world.runs)
        world.poll(f"job-{day}")
        settle()
        trained = [int(key.rpartition("-")[2]) for key in world.runs]
        for position in range(before, len(trained)):
            assert len(alike(trained[position], trained[:position])) < maximum
        if drifted[day] and day not in trained:
            kinds = {item.kind for item in world.records() if item.key.endswith(f"/job-{day}")}
            assert OutcomeKind.ESCALATED in kinds
            assert len(alike(day, trained)) >= maximum
    assert all(item.kind in HELD_BACK for item in world.inbox().open.values())


@pytest.mark.parametrize("kind", [OutcomeKind.TRAINING_REQUESTED, OutcomeKind.TRAINING_STARTED])
def test_the_inbox_remembers_what_was_trained(kind: OutcomeKind) -> None:
    inbox = opened(event(1))
    record = TriggerRecord(kind=kind, key=event(1).key, detail="", at=NOW, event=event(1))
    inbox.add([record, record])
    assert inbox.trained == [event(1)]
    assert Inbox.model_validate_json(inbox.model_dump_json()).trained == [event(1)]
