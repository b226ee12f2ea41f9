"""Many drifted days at once, as a backfill publishes them, are no storm of trainings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.drift.monitoring_job import JobState
from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR
from transak_drift_tests.trigger.trigger_world import TriggerWorld

DAYS = range(1, 31)


class Trigger:
    """The sensor with the default policy, and trainings that take some ticks."""

    def __init__(self, ticks_of_a_training: int, *, promotes: bool) -> None:
        self.world = TriggerWorld(configuration())
        self._ticks = dict.fromkeys((f"{MONITOR}/job-{n}" for n in DAYS), ticks_of_a_training)
        self._promotes = promotes
        for day in DAYS:
            end = MAY_1 + timedelta(days=day)
            self.world.platform.put(f"job-{day}", {"type": 0.6}, end, JobState.SUCCEEDED)

    def tick(self, days: Iterable[int] = ()) -> None:
        """Find days that drifted, decide, launch what is requested; trainings go on by a tick."""
        world = self.world
        for day in days:
            world.poll(f"job-{day}")
        world.tick(0, list.sort)
        for key, run in world.runs.items():
            self._ticks[key] -= 1
            if run.launches and not run.is_finished and self._ticks[key] <= 0:
                run.is_finished = True
                world.evaluated_until = run.window_end
                world.trained_until = run.window_end if self._promotes else None

    def settle(self) -> tuple[list[int], list[int]]:
        """Tick until nothing is open; return the days that trained and those that were answered."""
        while self.world.inbox().open:
            self.tick()
        records = self.world.records()
        superseded = [item.key for item in records if item.kind == OutcomeKind.SUPERSEDED]
        trained, answered = (
            [int(key.rpartition("-")[2]) for key in keys] for keys in (self.world.runs, superseded)
        )
        # Each day is answered, and by one of the two.
        assert sorted(trained + answered) == sorted({*trained, *answered})
        return trained, answered


@pytest.mark.parametrize("promotes", [True, False])
@settings(max_examples=30)
@given(
    order=st.one_of(st.just(DAYS), st.permutations(DAYS)),
    cuts=st.sets(st.integers(1, len(DAYS) - 1), max_size=8),
    ticks=st.integers(1, 6),
)
def test_days_that_come_in_several_pulls_train_at_most_once_a_pull_and_once_more(
    order: list[int], cuts: set[int], ticks: int, promotes: bool
) -> None:
    trigger = Trigger(ticks, promotes=promotes)
    bounds = [0, *sorted(cuts), len(DAYS)]
    for start, end in pairwise(bounds):
        trigger.tick(order[start:end])
    trained, superseded = trigger.settle()
    assert len(trained) <= len(bounds)
    assert DAYS[-1] in trained
    assert len(trained) + len(superseded) == len(DAYS)


def test_a_new_event_trains_whatever_was_trained_before_it() -> None:
    trigger = Trigger(1, promotes=True)
    for day in (10, 5, 11):
        trigger.tick([day])
    assert trigger.settle() == ([10, 5, 11], [])
