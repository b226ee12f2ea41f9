"""Faults of what surrounds the sensor, each injected at a boundary of a tick and ended after it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from transak_drift_tests.faults.broken_loop import BrokenLoop
from transak_drift_tests.faults.sensor_process import At

End = Callable[[], object]
Fault = Callable[[BrokenLoop], End]
"""Breaks something, and returns what repairs it."""


def nothing() -> None:
    """Repair what is not broken for long."""


def kill_server(loop: BrokenLoop) -> End:
    process_id = loop.server.process_id
    loop.server.restart()
    assert loop.server.process_id != process_id
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
    loop.server.fill_disk()
    return loop.server.empty_disk


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


def at_number(number: int) -> Callable[[str], bool]:
    """Be due at the boundary of a number."""
    passed: list[str] = []

    def is_due(boundary: str) -> bool:
        passed.append(boundary)
        return len(passed) == number

    return is_due


def kill_sensor_at(is_due: Callable[[str], bool]) -> At:
    """Kill the sensor's process at the first boundary where that is due."""
    return lambda boundary: not is_due(boundary)
