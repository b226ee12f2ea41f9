"""The Pub/Sub server dies, hangs, forgets, and has no room; nothing is lost or trained twice.

Whether the tick that is struck ends or fails depends on how soon the client finds the server again;
either is right, and the invariant holds after both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from transak_drift.defs.drift_message_sensor import TickBounds
from transak_drift_tests.faults.broken_loop import LONGER_THAN_A_LEASE, BrokenLoop, Kind
from transak_drift_tests.faults.faulty_pubsub_server import Fault
from transak_drift_tests.faults.sensor_process import WAIT_SECONDS


def once(boundary: str, strike: Callable[[], None], number: int = 1) -> Callable[[str], bool]:
    """Return what strikes once, at a boundary of a name when it is met so often."""
    met: list[str] = []

    def at(name: str) -> bool:
        if name == boundary:
            met.append(name)
            if len(met) == number:
                strike()
        return True

    return at


@pytest.mark.parametrize("call", ["get_subscription", "pull", "publish", "acknowledge"])
def test_the_server_is_killed_and_restarted_before_a_call(loop: BrokenLoop, call: str) -> None:
    name = call.replace("_", "-")
    loop.publish_one_of_each(f"first-{name}")
    assert loop.tick()
    loop.publish_one_of_each(f"second-{name}")
    process_id = loop.server.process_id
    loop.tick(once(f"before {call}", loop.server.restart))
    assert loop.server.process_id != process_id
    loop.check()
    loop.settle()


@pytest.mark.parametrize("fault", [Fault.DIES_WHEN_LEASED, Fault.DIES_WHEN_ACKNOWLEDGED])
def test_the_server_dies_between_a_change_and_its_answer(loop: BrokenLoop, fault: Fault) -> None:
    name = fault.replace("_", "-")
    loop.publish_one_of_each(name)
    loop.server.arm(fault)
    call = "pull" if fault == Fault.DIES_WHEN_LEASED else "acknowledge"
    restarts: list[threading.Thread] = []
    loop.tick(once(f"before {call}", lambda: restarts.append(loop.server.restart_when_dead())))
    restarts[0].join()
    if fault == Fault.DIES_WHEN_LEASED:
        # The messages are leased to nobody: none of them can have been answered.
        assert loop.unacknowledged() == loop.published_as(name)
    loop.check()
    loop.settle()


def test_acknowledgements_are_lost(loop: BrokenLoop) -> None:
    loop.publish_one_of_each("forgotten")
    loop.server.arm(Fault.LOSES_ACKNOWLEDGEMENTS)
    for _ in range(3):
        assert loop.tick()
        loop.check()
        loop.server.add_seconds(LONGER_THAN_A_LEASE)
    assert loop.unacknowledged() == loop.published_as("forgotten")
    assert len(loop.runs()[loop.key("forgotten-trains")]) == 1
    loop.server.disarm(Fault.LOSES_ACKNOWLEDGEMENTS)
    loop.settle()


def test_the_disk_of_the_server_is_full(loop: BrokenLoop) -> None:
    loop.publish_one_of_each("before-full")
    assert loop.tick()
    loop.publish_one_of_each("full")
    waiting = loop.unacknowledged()
    # A lease must be stored before it is answered: without room there is none.
    loop.tick(once("before pull", loop.server.fill_disk))
    assert loop.unacknowledged() == waiting
    loop.check()
    loop.server.empty_disk()
    assert loop.tick()
    loop.check()
    loop.settle()


def test_the_server_hangs_while_a_tick_pulls(loop: BrokenLoop) -> None:
    # As a machine that is suspended: the connection stays, the answer does not come.
    loop.publish(Kind.TRAINS, "hangs")
    freeze, thaw = (
        once("before pull", loop.server.freeze),
        once("after pull", loop.server.thaw),
    )
    loop.tick(lambda name: freeze(name) and thaw(name))
    loop.check()
    assert loop.unacknowledged() == loop.published_as("hangs")
    loop.settle()


def test_the_server_dies_among_the_calls_that_acknowledge_a_burst(directory: Path) -> None:
    bounds = TickBounds(messages=5_000, wait_seconds=WAIT_SECONDS)
    with BrokenLoop(directory, bounds) as loop:
        loop.publish(Kind.TRAINS, "burst", copies=3_500)
        loop.publish(Kind.LIES, "burst-lies")
        # 3,501 acknowledgements take four calls.
        loop.tick(once("before acknowledge", loop.server.restart, number=3))
        loop.check()
        loop.settle()
        assert len(loop.runs()) == 1
