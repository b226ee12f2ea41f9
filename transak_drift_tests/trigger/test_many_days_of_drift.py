"""Many drifted days at once, as a backfill publishes them, are no storm of trainings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR
from transak_drift_tests.trigger.trigger_world import TriggerWorld

DAYS = range(1, 31)


@pytest.mark.parametrize("promotes", [True, False])
@settings(max_examples=30)
@given(
    order=st.one_of(st.just(DAYS), st.permutations(DAYS)),
    cuts=st.sets(st.integers(1, len(DAYS) - 1), max_size=8),
    ticks_of_a_training=st.integers(1, 6),
)
def test_days_that_come_in_several_pulls_train_at_most_once_a_pull_and_once_more(
    order: list[int], cuts: set[int], ticks_of_a_training: int, promotes: bool
) -> None:
    # Whether people are asked meanwhile is tested elsewhere.
    policy = {"maximum_trainings_per_drift": 50}
    world, ages = TriggerWorld(configuration(retrain_policy=policy)), Counter[str]()
    for day in DAYS:
        world.platform.put(f"job-{day}", {"type": 0.6}, MAY_1 + timedelta(days=day))

    def tick(days: Iterable[int] = ()) -> None:
        for day in days:
            world.poll(f"job-{day}")
        world.tick(0, list.sort)
        ages.update(world.runs.keys())
        for key, run in world.runs.items():
            if run.launches and not run.is_finished and ages[key] >= ticks_of_a_training:
                run.is_finished = True
                world.evaluated_until = run.window_end
                world.trained_until = run.window_end if promotes else None

    bounds = [0, *sorted(cuts), len(DAYS)]
    for start, end in pairwise(bounds):
        tick(order[start:end])
    while world.inbox().open:
        tick()
    superseded = {item.key for item in world.records() if item.kind == OutcomeKind.SUPERSEDED}
    assert len(world.runs) <= len(bounds)
    assert f"{MONITOR}/job-{DAYS[-1]}" in world.runs
    # Each day is answered, and by one of the two.
    assert not superseded & world.runs.keys()
    assert len(superseded) + len(world.runs) == len(DAYS)
