"""Many drifted days at once, as a backfill publishes them, are no storm of trainings."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.trigger.decision import TrainingHistory, answered_by, decide
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord
from transak_drift_tests.trigger.drift_messages import MAY_1, DriftEvent, drift_event

DAYS = 30
EVENTS = [drift_event(f"job-{n}", end=MAY_1 + timedelta(days=n)) for n in range(1, DAYS + 1)]
NOW = MAY_1 + timedelta(days=DAYS + 1)


class Trigger:
    """The sensor's decisions with the default policy, and trainings that take some ticks."""

    def __init__(self, ticks_of_a_training: int, *, promotes: bool) -> None:
        self.inbox = Inbox()
        self.trained: list[DriftEvent] = []
        self.superseded: list[str] = []
        self._ticks = ticks_of_a_training
        self._promotes = promotes
        self._running: dict[str, int] = {}
        self._judged_until: datetime | None = None

    def tick(self, events: list[DriftEvent]) -> None:
        """Record events, decide, launch what is requested; trainings go on by a tick."""
        for event in events:
            self.inbox.add(
                [
                    TriggerRecord(
                        kind=OutcomeKind.DRIFT, key=event.key, detail="", at=NOW, event=event
                    )
                ]
            )
        done = {event.key for event in self.trained}
        history = TrainingHistory(
            in_flight=len(self._running),
            last_start=MAY_1 if done else None,
            baseline_until=self._judged_until if self._promotes else None,
            evaluated_until=self._judged_until,
        )
        steps, requests = decide(
            self.inbox, RetrainPolicy(), history, dict.fromkeys(done, True), NOW
        )
        self.inbox.add(steps)
        for step in steps:
            if step.kind == OutcomeKind.SUPERSEDED:
                self.superseded.append(step.key)
        for event in requests:
            if event.key not in done:
                self.trained.append(event)
                self._running[event.key] = self._ticks
        self._go_on()

    def settle(self) -> None:
        """Tick until nothing is held and nothing runs."""
        for _ in range(2 * DAYS * self._ticks + 4):
            self.tick([])
        assert self.inbox.open == {}
        assert self._running == {}

    def _go_on(self) -> None:
        for key in list(self._running):
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]
                [event] = [event for event in self.trained if event.key == key]
                self._judged_until = event.window_end


@pytest.mark.parametrize("promotes", [True, False])
@given(random=st.randoms(use_true_random=False))
def test_thirty_drifted_days_in_one_pull_train_twice_at_most(
    random: Random, promotes: bool
) -> None:
    trigger = Trigger(3, promotes=promotes)
    shuffled = list(EVENTS)
    random.shuffle(shuffled)
    trigger.tick(shuffled)
    trigger.settle()
    expected = [shuffled[0]] if shuffled[0] == EVENTS[-1] else [shuffled[0], EVENTS[-1]]
    assert trigger.trained == expected
    answered = [*(event.key for event in trigger.trained), *trigger.superseded]
    assert sorted(answered) == sorted(event.key for event in EVENTS)


@pytest.mark.parametrize("promotes", [True, False])
@given(
    order=st.one_of(st.just(range(DAYS)), st.permutations(range(DAYS))),
    cuts=st.sets(st.integers(1, DAYS - 1), max_size=8),
    ticks=st.integers(1, 6),
)
def test_days_that_come_in_several_pulls_train_at_most_once_a_pull_and_once_more(
    order: list[int], cuts: set[int], ticks: int, promotes: bool
) -> None:
    trigger = Trigger(ticks, promotes=promotes)
    bounds = [0, *sorted(cuts), DAYS]
    for start, end in pairwise(bounds):
        trigger.tick([EVENTS[number] for number in order[start:end]])
    trigger.settle()

    assert len(trigger.trained) <= len(bounds)
    assert EVENTS[-1] in trigger.trained
    # Each day is answered, and by one of the two.
    answered = [*(event.key for event in trigger.trained), *trigger.superseded]
    assert sorted(answered) == sorted(event.key for event in EVENTS)


def test_a_new_event_trains_whatever_was_trained_before_it() -> None:
    trigger = Trigger(1, promotes=True)
    for number in (9, 4, 10):
        trigger.tick([EVENTS[number]])
    again = drift_event("job-again", end=EVENTS[10].window_end)
    trigger.tick([again])
    assert trigger.trained == [EVENTS[9], EVENTS[4], EVENTS[10], again]


def test_without_a_finished_training_nothing_is_answered() -> None:
    history = TrainingHistory(0, MAY_1, MAY_1 - timedelta(days=1))
    assert answered_by(MAY_1, history) is None
