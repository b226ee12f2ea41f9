"""The memory of the notification sensor is bounded and survives being stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from transak_drift.notifications.state import (
    MAX_AWAITED,
    MAX_TOLD,
    AwaitedTraining,
    ChannelState,
    NotificationState,
    Refusal,
)

NOW = datetime(2026, 5, 5, tzinfo=UTC)


def test_what_was_told_is_remembered_up_to_a_bound() -> None:
    state = ChannelState()
    state.tell((f"decided/{n}" for n in range(MAX_TOLD + 1)), NOW)
    assert not state.has_told("decided/0")
    assert state.has_told("decided/1")
    assert len(state.told) == MAX_TOLD
    # Told again, it is the newest and stays.
    state.tell(["decided/1"], NOW)
    state.tell(["decided/new"], NOW)
    assert state.has_told("decided/1") and not state.has_told("decided/2")
    assert len(NotificationState(channels={"slack": state}).to_cursor()) < 100_000


def test_the_oldest_awaited_training_gives_way() -> None:
    state = ChannelState()
    for number in range(MAX_AWAITED + 1):
        state.await_training(f"job-{number}", AwaitedTraining(window_end=None, since=NOW))
    assert len(state.awaited) == MAX_AWAITED
    assert "job-0" not in state.awaited


def test_room_comes_back_as_time_goes_by() -> None:
    state = ChannelState()
    period = timedelta(minutes=10)
    state.tell(["a"], NOW)
    state.tell(["b"], NOW + timedelta(minutes=5))
    assert state.room(NOW + timedelta(minutes=6), 2, period) == 0
    assert state.room(NOW + timedelta(minutes=11), 2, period) == 1
    assert state.room(NOW + timedelta(minutes=16), 2, period) == 2


def test_the_state_survives_the_cursor() -> None:
    state = NotificationState(
        channels={
            "slack": ChannelState(
                seen=7,
                told=["a"],
                sent_at=[NOW],
                awaited={"job-1": AwaitedTraining(window_end=NOW, since=NOW)},
                pause_until=NOW,
                refusal=Refusal(message="no", again_at=NOW),
            ),
            "email": ChannelState(),
        }
    )
    assert NotificationState.from_cursor(state.to_cursor()) == state


@pytest.mark.parametrize("cursor", [None, "", "no json", '{"of": "something else"}'])
def test_an_unreadable_cursor_begins_anew(cursor: str | None) -> None:
    assert NotificationState.from_cursor(cursor) == NotificationState()
