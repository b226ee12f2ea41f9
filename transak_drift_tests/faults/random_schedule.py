"""Random schedules of messages, ticks and faults on real processes, each of which ends in peace."""

from __future__ import annotations

from collections import Counter
from random import Random

from transak_drift_tests.faults.broken_loop import (
    BAD,
    LONGER_THAN_A_LEASE,
    BrokenLoop,
    Kind,
    platform_is_silent,
)
from transak_drift_tests.faults.fault_injection import (
    at_number,
    end_leases,
    kill_sensor_at,
    kill_server,
    lose_acknowledgements,
    tick_with,
)
from transak_drift_tests.faults.sensor_process import SensorFailedError

# A tick has about so many boundaries; a fault beyond the last one lets the tick end.
_BOUNDARIES = 30
_STEPS = 6
_INJECTED = {
    "server killed": kill_server,
    "leases end": end_leases,
    "acknowledgements lost": lose_acknowledgements,
}
_FAULTS = (
    *("sensor killed", "sensor killed", "daemon dies", "launch fails", "platform silent"),
    *("cursor reset", *_INJECTED),
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
        fault = random.choice(_FAULTS)
        faults[fault if _tick_badly(loop, fault, random) else "none"] += 1
        loop.check()
        if random.random() < 0.5:
            loop.add_seconds(random.choice([-3_600.0, 1.0, 61.0, LONGER_THAN_A_LEASE]))
            faults["clock set"] += 1
    # Clocks that were set back have come right again.
    loop.add_seconds(_STEPS * 3_600.0)
    loop.settle()
    return faults


def _tick_badly(loop: BrokenLoop, fault: str, random: Random) -> bool:
    """Tick once with a fault; returns whether it struck."""
    is_due = at_number(random.randint(1, _BOUNDARIES))
    match fault:
        case "sensor killed":
            return not loop.tick(kill_sensor_at(is_due))
        case "daemon dies" | "launch fails":
            try:
                evaluated = loop.evaluate()
            except SensorFailedError:
                return True
            assert evaluated is not None
            if fault == "daemon dies":
                return not loop.commit(evaluated, random.randint(0, 4))
            return loop.commit(evaluated, launches_fail=True) and bool(evaluated.requests)
        case "platform silent":
            loop.tick(platform_is_silent)
        case "cursor reset":
            loop.cursor = None
            loop.tick()
        case _:
            return tick_with(loop, _INJECTED[fault], is_due) is not None
    return True
