"""SIGKILL at every step of the sensor and of the daemon, each of them, not a sample."""

from __future__ import annotations

from transak_drift_tests.faults.broken_loop import (
    LONGER_THAN_A_LEASE,
    BrokenLoop,
    DaemonWrite,
)
from transak_drift_tests.faults.sensor_process import CALLS


def test_the_sensor_is_killed_at_every_boundary_of_a_tick(loop: BrokenLoop) -> None:
    killed_at: list[str] = []
    # Each killed tick has work of every kind: new messages, and old ones to acknowledge.
    loop.publish_one_of_each("first")
    assert loop.tick()
    while True:
        number = len(killed_at)
        loop.publish_one_of_each(f"kill-{number}")
        passed: list[str] = []

        def at(name: str, passed: list[str] = passed, number: int = number) -> bool:
            passed.append(name)
            return len(passed) <= number

        if loop.tick(at):
            break
        killed_at.append(passed[-1])
        loop.check()
        loop.server.add_seconds(LONGER_THAN_A_LEASE)
        assert loop.tick(), f"the tick after the kill {killed_at[-1]}"
        loop.check()
    loop.settle()
    # The last boundary is the return; every call was met before and after.
    assert killed_at[-1] == "before return"
    for _, call in CALLS:
        assert {f"before {call}", f"after {call}"} <= set(killed_at), call


def test_the_daemon_dies_before_every_write_of_a_tick(loop: BrokenLoop) -> None:
    deaths = 0
    for write in DaemonWrite:
        after = 0
        while True:
            loop.publish_one_of_each(f"{write}-{after}")
            evaluated = loop.evaluate()
            assert evaluated is not None
            if loop.commit(evaluated, stop_before=write, after=after):
                break
            deaths += 1
            after += 1
            loop.check()
            loop.server.add_seconds(LONGER_THAN_A_LEASE)
            assert loop.tick()
            loop.check()
    loop.settle()
    assert deaths >= 2 * len(DaemonWrite) - 1


def test_a_launch_that_fails_is_asked_for_again(loop: BrokenLoop) -> None:
    # The daemon stores the cursor all the same: the run is there, and nobody works on it.
    loop.publish_one_of_each("unlaunched")
    for _ in range(3):
        evaluated = loop.evaluate()
        assert evaluated is not None
        assert loop.commit(evaluated, launches_fail=True)
        # Its lease lasts: an acknowledgement that comes too early would count.
        loop.check()
    left = {loop.published[message_id][1] for message_id in loop.unacknowledged()}
    assert left == {"unlaunched-trains"}
    loop.settle()
