"""Faults of what surrounds the sensor, each injected at a boundary of a tick and ended after it.

Random schedules of messages, ticks and faults each end in peace.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

from transak_drift_tests.faults.broken_loop import (
    BAD,
    LONGER_THAN_A_LEASE,
    BrokenLoop,
    Kind,
    platform_is_silent,
)
from transak_drift_tests.faults.sensor_process import SensorFailedError

End = Callable[[], object]
Fault = Callable[[BrokenLoop], End]
"""Breaks something, and returns what repairs it."""


def nothing() -> None:
    """Repair what is not broken for long."""


def kill_server(loop: BrokenLoop) -> End:
    loop.server.restart()
    return nothing


def kill_server_as_it_leases(loop: BrokenLoop) -> End:
    loop.server.controls.dies_when_leased = True
    return loop.server.restart_when_dead().join


def kill_server_as_it_acknowledges(loop: BrokenLoop) -> End:
    loop.server.controls.dies_when_acknowledged = True
    return loop.server.restart_when_dead().join


def lose_acknowledgements(loop: BrokenLoop) -> End:
    loop.server.controls.loses_acknowledgements = True
    return partial(setattr, loop.server.controls, "loses_acknowledgements", False)


def fill_disk_of_server(loop: BrokenLoop) -> End:
    """Leave no room for leases, which must be stored before they are answered."""
    loop.server.limit_files(4_096)
    return loop.server.limit_files


def end_leases(loop: BrokenLoop) -> End:
    """Give the messages to another consumer, so that the sensor's ack ids are worth nothing."""
    loop.add_seconds()
    list(loop.queue.pull(100, 1_000_000, 0.4))
    return nothing


def set_server_clock(loop: BrokenLoop, seconds: float) -> End:
    loop.add_seconds(seconds)
    return partial(loop.add_seconds, -seconds)


def lock_storage(loop: BrokenLoop, file: str) -> End:
    """Hold a database of Dagster's so that nobody else can even read it."""
    connection = sqlite3.connect(loop.dagster_home / "history" / file, isolation_level=None)
    # Write-ahead logs are read without a lock; a rollback journal is not.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("BEGIN EXCLUSIVE")

    def unlock() -> None:
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()

    return unlock


def tick_with(loop: BrokenLoop, fault: Fault, is_due: Callable[[str], bool]) -> bool | None:
    """Tick with a fault at the first boundary where it is due.

    Returns whether the tick ended well, or None where the fault was never due.
    """
    ends: list[End] = []

    def at(boundary: str) -> bool:
        if not ends and is_due(boundary):
            ends.append(fault(loop))
        return True

    ended = loop.tick(at)
    for end in ends:
        end()
    return ended if ends else None


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


def run_schedule(loop: BrokenLoop, random: Random) -> Counter[str]:
    """Publish, tick and break things in random order, and check the invariant after each step.

    The loop is settled before and after. Returns how often each fault struck.
    """
    faults: Counter[str] = Counter()
    name = f"schedule-{len(loop.published)}"
    jobs = [f"{name}-{number}" for number in range(3)]
    kinds = dict(zip(jobs, random.choices([Kind.TRAINS, Kind.LIES], [4, 1], k=3), strict=True))
    for step in range(_STEPS):
        for job in random.sample(jobs, random.randint(0, 2)):
            loop.publish(kinds[job], job, copies=random.randint(1, 3))
        if random.random() < 0.5:
            loop.publish(random.choice(BAD), f"{name}-bad-{step}")
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
    boundaries = iter(range(random.randrange(_BOUNDARIES)))

    def is_due(boundary: str) -> bool:
        return next(boundaries, None) is None

    match fault:
        case "sensor killed":
            return not loop.tick(lambda boundary: not is_due(boundary))
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
