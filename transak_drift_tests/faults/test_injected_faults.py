"""Servers that die, hang and forget, leases and clocks, storage: nothing is lost or trained twice.

Whether the tick that is struck ends or fails depends on how soon a client finds its server again;
either is right, and the invariant holds after both.
"""

from __future__ import annotations

import signal
from functools import partial
from random import Random

import pytest

from transak_drift_tests.faults.broken_loop import BrokenLoop, Kind
from transak_drift_tests.faults.fault_injection import (
    Fault,
    end_leases,
    fill_disk_of_server,
    kill_server,
    kill_server_as_it_acknowledges,
    kill_server_as_it_leases,
    lock_storage,
    lose_acknowledgements,
    run_schedule,
    set_server_clock,
    tick_with,
)

DAY = 86_400.0
EVENT_LOG, RUNS = (partial(lock_storage, file=file) for file in ("runs/index.db", "runs.db"))
NOTHING_IS_ACKNOWLEDGED = (
    fill_disk_of_server,
    kill_server_as_it_leases,
    lose_acknowledgements,
    EVENT_LOG,
)


@pytest.mark.parametrize(
    ("fault", "call"),
    [
        (kill_server, "get_subscription"),
        (kill_server, "pull"),
        (kill_server, "publish"),
        (kill_server, "acknowledge"),
        (kill_server_as_it_leases, "pull"),
        (kill_server_as_it_acknowledges, "acknowledge"),
        (lose_acknowledgements, "acknowledge"),
        (fill_disk_of_server, "pull"),
        (end_leases, "read_monitoring_job"),
        (end_leases, "publish"),
        (end_leases, "report_runless_asset_event"),
        (end_leases, "acknowledge"),
        (partial(set_server_clock, seconds=-DAY), "pull"),
        (partial(set_server_clock, seconds=-30.0), "acknowledge"),
        (EVENT_LOG, "fetch_observations"),
        (RUNS, "get_run_records"),
    ],
)
def test_a_fault_before_a_call_loses_nothing(loop: BrokenLoop, fault: Fault, call: str) -> None:
    published = loop.publish_one_of_each()
    ended = tick_with(loop, fault, lambda boundary: boundary == f"before {call}")
    assert ended is not None, f"the tick came to no {call}"
    if fault in NOTHING_IS_ACKNOWLEDGED:
        assert loop.unacknowledged() == published
    if fault in (EVENT_LOG, RUNS):
        assert not ended
    loop.check()
    loop.settle()


def test_the_server_hangs_while_a_tick_pulls(loop: BrokenLoop) -> None:
    # As a machine that is suspended: the connection stays, the answer does not come.
    published = loop.publish(Kind.TRAINS, "hangs")
    steps = {"before pull": signal.SIGSTOP, "after pull": signal.SIGCONT}

    def at(boundary: str) -> bool:
        if step := steps.pop(boundary, None):
            loop.server.send(step)
        return True

    loop.tick(at)
    loop.check()
    assert loop.unacknowledged() == published
    loop.settle()


@pytest.mark.parametrize("days", [-100, 400])
def test_the_sensors_clock_jumps(loop: BrokenLoop, days: int) -> None:
    loop.publish_one_of_each()
    loop.clock_seconds = days * DAY
    assert loop.tick()
    loop.check()
    loop.clock_seconds = 0.0
    loop.settle()


@pytest.mark.parametrize("seed", range(3))
def test_the_invariant_holds_in_a_random_schedule(loop: BrokenLoop, seed: int) -> None:
    # `benchmarks.faults` runs many more.
    faults = run_schedule(loop, Random(seed))
    assert faults.total() - faults["none"] >= 3


def test_the_server_dies_among_the_calls_that_acknowledge_a_burst(loop: BrokenLoop) -> None:
    loop.publish(Kind.TRAINS, "burst", copies=3_500)
    loop.publish(Kind.LIES, "burst-lies")
    # 3,501 acknowledgements take four calls.
    calls: list[str] = []

    def is_third_acknowledgement(boundary: str) -> bool:
        calls.append(boundary)
        return calls.count("before acknowledge") == 3

    assert tick_with(loop, kill_server, is_third_acknowledgement) is not None
    loop.check()
    loop.settle()
    assert len(loop.runs()[loop.key("burst")]) == 1
