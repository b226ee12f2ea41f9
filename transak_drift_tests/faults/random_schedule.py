"""Random schedules of messages, ticks and faults on real processes, each of which ends in peace."""

from __future__ import annotations

from collections import Counter
from random import Random

from transak_drift_tests.faults.broken_loop import (
    BAD,
    LONGER_THAN_A_LEASE,
    BrokenLoop,
    DaemonWrite,
    Kind,
)
from transak_drift_tests.faults.faulty_pubsub_server import Fault
from transak_drift_tests.faults.sensor_process import SensorFailedError

# A tick has about so many boundaries; a strike beyond the last one lets the tick end.
_BOUNDARIES = 30
_STEPS = 6
_FAULTS = (
    *("sensor killed", "sensor killed", "daemon dies", "launch fails", "server killed"),
    *("leases end", "acknowledgements lost", "platform silent", "cursor reset"),
)


def run_schedule(loop: BrokenLoop, name: str, random: Random) -> Counter[str]:
    """Publish, tick and break things in random order, and check the invariant after each step.

    The loop is settled before and after. Returns how often each fault struck.
    """
    faults: Counter[str] = Counter()
    jobs = [f"{name}-{number}" for number in range(3)]
    kinds = dict(zip(jobs, random.choices([Kind.TRAINS, Kind.LIES], [4, 1], k=3), strict=True))
    for step in range(_STEPS):
        for job in random.sample(jobs, random.randint(0, 2)):
            loop.publish(kinds[job], job, copies=random.randint(1, 3))
        if random.random() < 0.5:
            kind = random.choice(BAD)
            loop.publish(kind, f"{name}-bad-{step}")
        faults[_tick_badly(loop, random)] += 1
        loop.check()
        if random.random() < 0.5:
            loop.server.add_seconds(random.choice([-3_600.0, 1.0, 61.0, LONGER_THAN_A_LEASE]))
            faults["clock set"] += 1
    # Clocks that were set back have come right again.
    loop.server.add_seconds(_STEPS * 3_600.0)
    loop.settle()
    return faults


def _tick_badly(loop: BrokenLoop, random: Random) -> str:
    """Tick once with a fault; returns which, or that none struck."""
    fault, where = random.choice(_FAULTS), random.randrange(_BOUNDARIES)
    if fault in ("daemon dies", "launch fails"):
        try:
            evaluated = loop.evaluate()
        except SensorFailedError:
            return "sensor failed"
        assert evaluated is not None
        if fault == "launch fails":
            loop.commit(evaluated, launches_fail=True)
            return fault if evaluated.requests else "none"
        write = random.choice(list(DaemonWrite))
        ended = loop.commit(evaluated, stop_before=write, after=random.randint(0, 1))
        return "none" if ended else fault
    passed: list[str] = []

    def strike(boundary: str) -> bool:
        passed.append(boundary)
        if len(passed) == where + 1:
            if fault == "server killed":
                loop.server.restart()
            elif fault == "leases end":
                loop.server.add_seconds(LONGER_THAN_A_LEASE)
        return fault != "sensor killed" or len(passed) <= where

    loop.platform_answers = fault != "platform silent"
    if fault == "acknowledgements lost":
        loop.server.arm(Fault.LOSES_ACKNOWLEDGEMENTS)
    if fault == "cursor reset":
        loop.cursor = None
    ended = loop.tick(strike)
    loop.platform_answers = True
    loop.server.disarm(Fault.LOSES_ACKNOWLEDGEMENTS)
    return "none" if ended and fault == "sensor killed" else fault
