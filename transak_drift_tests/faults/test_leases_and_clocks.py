"""Leases that end too early, and clocks that jump."""

from __future__ import annotations

from pathlib import Path

import pytest

from transak_drift_tests.faults.broken_loop import LONGER_THAN_A_LEASE, POLICY, BrokenLoop, Kind

DAY = 86_400.0


@pytest.mark.parametrize(
    "call",
    ["read_monitoring_job", "publish", "report_runless_asset_event", "acknowledge"],
)
def test_storage_is_so_slow_that_leases_end_within_the_tick(loop: BrokenLoop, call: str) -> None:
    name = call.replace("_", "-")
    loop.publish_one_of_each(f"first-{name}")
    assert loop.tick()
    loop.publish_one_of_each(f"slow-{name}")

    def wait(boundary: str) -> bool:
        if boundary == f"before {call}":
            loop.server.add_seconds(LONGER_THAN_A_LEASE)
            # Another consumer is given the messages; the sensor's ack ids are worth nothing.
            list(loop.queue.pull(100, 1_000_000, 0.4))
        return True

    assert loop.tick(wait)
    loop.check()
    loop.settle()


def test_messages_come_reordered_and_again(loop: BrokenLoop) -> None:
    # Small pulls, so that copies of one event meet different ticks.
    for number in range(3):
        loop.publish(Kind.TRAINS, "same-event", copies=7)
        loop.publish(Kind.TRAINS, f"other-{number}", copies=3)
        loop.queue.release([m.ack_id for m in loop.queue.pull(4, 1_000_000, 0.4)])
        assert loop.tick()
        loop.server.add_seconds(LONGER_THAN_A_LEASE)
    loop.settle()
    assert {key.rpartition("/")[2] for key in loop.runs()} >= {"same-event", "other-2"}


def test_the_sensors_clock_jumps(directory: Path) -> None:
    policy = {**POLICY, "cooldown_minutes": 60}
    with BrokenLoop(directory, config={"retrain_policy": policy}) as loop:
        for number, seconds in enumerate([-100 * DAY, -3_600.0, 3_600.0, 400 * DAY]):
            loop.publish_one_of_each(f"before-{number}")
            assert loop.tick()
            loop.clock_seconds += seconds
            loop.publish_one_of_each(f"after-{number}")
            assert loop.tick()
            loop.check()
            # Whatever the clock did, the cooldown ends some time after the training before.
            for _ in range(2):
                loop.clock_seconds = max(loop.clock_seconds, 0.0) + 2 * 3_600
                loop.server.add_seconds(LONGER_THAN_A_LEASE)
                assert loop.tick()
                loop.check()
        loop.settle()


@pytest.mark.parametrize("seconds", [-DAY, -30.0])
def test_the_servers_clock_is_set_back(loop: BrokenLoop, seconds: float) -> None:
    loop.publish_one_of_each(f"before{seconds:.0f}")
    assert loop.tick()
    loop.server.add_seconds(seconds)
    loop.publish_one_of_each(f"after{seconds:.0f}")
    loop.tick()
    loop.check()
    loop.server.add_seconds(-seconds)
    loop.settle()
