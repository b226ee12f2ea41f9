"""SIGKILL at every step of the sensor and of the daemon, each of them, not a sample."""

from __future__ import annotations

from transak_drift_tests.faults.broken_loop import (
    LONGER_THAN_A_LEASE,
    BrokenLoop,
    DaemonWrite,
    Kind,
)
from transak_drift_tests.faults.sensor_process import CALLS


def test_the_sensor_is_killed_at_every_boundary_of_a_tick(loop: BrokenLoop) -> None:
    killed_at: list[str] = []
    while True:
        number = len(killed_at)
        # Each tick has the same work: messages that wait for their job, and new ones.
        loop.platform_answers = False
        loop.publish(Kind.TRAINS, f"waits-{number}")
        loop.publish(Kind.NO_JOB, f"waits-for-nothing-{number}")
        assert loop.tick()
        loop.platform_answers = True
        loop.publish_one_of_each(f"kill-{number}")
        passed: list[str] = []

        def at(name: str, passed: list[str] = passed, number: int = number) -> bool:
            # Between the end of one call and the beginning of the next nothing happens.
            passed += [name] if name.startswith("before ") else []
            return len(passed) <= number

        if loop.tick(at):
            break
        killed_at.append(passed[-1])
        loop.check()
        loop.server.add_seconds(LONGER_THAN_A_LEASE)
        assert loop.tick(), f"the tick after the kill {killed_at[-1]}"
        loop.check()
    loop.settle()
    assert killed_at[-1] == "before return"
    for _, call in CALLS:
        assert f"before {call}" in killed_at, call


def test_the_daemon_dies_before_every_write_of_a_tick(loop: BrokenLoop) -> None:
    deaths = 0
    for write in DaemonWrite:
        after = 0
        while True:
            for event in ("first", "second"):
                loop.publish(Kind.TRAINS, f"{write}-{after}-{event}")
            evaluated = loop.evaluate()
            assert evaluated is not None
            if loop.commit(evaluated, stop_before=write, after=after):
                break
            deaths += 1
            after += 1
            loop.check()
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
        assert [key for key, _ in evaluated.requests] == [loop.key("unlaunched-trains")]
        assert loop.commit(evaluated, launches_fail=True)
        loop.check()
    loop.settle()


def test_a_reset_cursor_is_read_again_from_the_event_log(loop: BrokenLoop) -> None:
    loop.publish_one_of_each("before-reset")
    evaluated = loop.evaluate()
    assert evaluated is not None
    # Its request is recorded, and the daemon dies before it makes the run and stores the cursor.
    loop.cursor = None
    loop.publish_one_of_each("after-reset")
    assert loop.tick()
    assert {loop.key(f"{name}-trains") for name in ("before-reset", "after-reset")} <= set(
        loop.runs()
    )
    loop.settle()
