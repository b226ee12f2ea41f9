"""Random schedules of faults on real processes; `benchmarks.faults` runs many more."""

from __future__ import annotations

from random import Random

import pytest

from transak_drift_tests.faults.broken_loop import BrokenLoop
from transak_drift_tests.faults.random_schedule import run_schedule


@pytest.mark.parametrize("seed", range(3))
def test_the_invariant_holds_in_a_random_schedule(loop: BrokenLoop, seed: int) -> None:
    faults = run_schedule(loop, f"schedule-{seed}", Random(seed))
    assert faults.total() - faults["none"] >= 3
