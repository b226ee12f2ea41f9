"""SIGKILL at every step of the sensor and of the daemon, each of them, not a sample."""

from __future__ import annotations

from collections import Counter
from itertools import count

from transak_drift_tests.faults.broken_loop import BrokenLoop, Kind, platform_is_silent
from transak_drift_tests.faults.sensor_process import CALLS

WRITES = ("pull", "publish", "report_runless_asset_event", "acknowledge")


def test_the_sensor_is_killed_at_every_boundary_of_a_tick(loop: BrokenLoop) -> None:
    # Between the end of one call and the beginning of the next nothing happens, and between reads
    # nothing is written: a boundary is a call after so many writes.
    killed_at: set[tuple[str, int]] = set()
    for number in count():
        # Each tick has the same work: messages that wait for their job, and new ones.
        loop.publish(Kind.TRAINS, f"waits-{number}")
        loop.publish(Kind.NO_JOB, f"waits-for-nothing-{number}")
        assert loop.tick(platform_is_silent)
        loop.publish_one_of_each()
        written = Counter[str]()

        def at(boundary: str, written: Counter[str] = written) -> bool:
            when, call = boundary.split()
            if when == "after":
                written[call] += call in WRITES
                return True
            place = (call, written.total())
            is_new = place not in killed_at
            killed_at.add(place)
            return not is_new

        if loop.tick(at):
            break
        loop.check()
        loop.add_seconds()
        assert loop.tick(), f"the tick after the kill {number}"
        loop.check()
    loop.settle()
    assert {call for call, _ in killed_at} == {"return", *(name for _, name in CALLS)}


def test_the_daemon_dies_before_every_write_of_a_tick(loop: BrokenLoop) -> None:
    for writes in count():
        for event in ("first", "second"):
            loop.publish(Kind.TRAINS, f"{event}-{writes}")
        evaluated = loop.evaluate()
        assert evaluated is not None
        if loop.commit(evaluated, writes):
            break
        loop.check()
        assert loop.tick()
        loop.check()
    loop.settle()
    assert writes == 2 * len(("run", "launch")) + len(("cursor",))


def test_a_launch_that_fails_is_asked_for_again(loop: BrokenLoop) -> None:
    # The daemon stores the cursor all the same: the run is there, and nobody works on it.
    loop.publish(Kind.TRAINS, "unlaunched")
    for _ in range(2):
        evaluated = loop.evaluate()
        assert evaluated is not None
        assert [key for key, _ in evaluated.requests] == [loop.key("unlaunched")]
        assert loop.commit(evaluated, launches_fail=True)
        loop.check()
    loop.settle()


def test_a_reset_cursor_is_read_again_from_the_event_log(loop: BrokenLoop) -> None:
    loop.publish(Kind.TRAINS, "before-reset")
    # Its request is recorded, and the daemon dies before it makes the run and stores the cursor.
    assert loop.evaluate() is not None
    loop.cursor = None
    loop.publish(Kind.TRAINS, "after-reset")
    assert loop.tick()
    assert {loop.key(f"{name}-reset") for name in ("before", "after")} <= loop.runs().keys()
    loop.settle()
