"""Random schedules of messages, ticks and faults on real processes, each of which ends in peace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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
    loop.server.disarm(Fault.LOSES_ACKNOWLEDGEMENTS)
    # Clocks that were set back have come right again.
    loop.server.add_seconds(_STEPS * 3_600.0)
    loop.settle()
    return faults


def _tick_badly(loop: BrokenLoop, random: Random) -> str:
    where = random.randrange(_BOUNDARIES)
    match random.choice(
        [
            "sensor killed",
            "sensor killed",
            "daemon dies",
            "server killed",
            "leases end",
            "launch fails",
            "acknowledgements lost",
            "platform silent",
            "cursor reset",
        ]
    ):
        case "sensor killed":
            passed: list[str] = []

            def live(boundary: str) -> bool:
                passed.append(boundary)
                return len(passed) <= where

            return "none" if loop.tick(live) else "sensor killed"
        case "daemon dies" | "launch fails" as fault:
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
            return "none" if ended else "daemon dies"
        case "server killed":
            loop.tick(_strike(where, loop.server.restart))
            return "server killed"
        case "leases end":
            loop.tick(_strike(where, lambda: loop.server.add_seconds(LONGER_THAN_A_LEASE)))
            return "leases end"
        case "platform silent" as fault:
            loop.platform_answers = False
            loop.tick()
            loop.platform_answers = True
            return fault
        case "cursor reset" as fault:
            loop.cursor = None
            loop.tick()
            return fault
        case _:
            loop.server.arm(Fault.LOSES_ACKNOWLEDGEMENTS)
            loop.tick()
            loop.server.disarm(Fault.LOSES_ACKNOWLEDGEMENTS)
            return "acknowledgements lost"


def _strike(where: int, strike: Callable[[], None]) -> Callable[[str], bool]:
    passed: list[str] = []

    def at(boundary: str) -> bool:
        passed.append(boundary)
        if len(passed) == where + 1:
            strike()
        return True

    return at
