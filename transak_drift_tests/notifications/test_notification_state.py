"""The memory of the notification sensor is bounded and survives being stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from transak_drift.notifications.state import MAX_SENT, ChannelState, NotificationState, Pause

NOW = datetime(2026, 5, 5, tzinfo=UTC)
STATE = NotificationState(
    channels={
        "slack": ChannelState(
            seen=7,
            ended_until=NOW,
            told=["a"],
            sent_at=[NOW],
            pause=Pause(until=NOW, reason="no", is_refusal=True),
        ),
        "email": ChannelState(),
    }
)


def test_what_was_sent_is_remembered_up_to_a_bound() -> None:
    state = ChannelState()
    state.add_sent((f"decided/{n}" for n in range(MAX_SENT + 1)), NOW)
    assert not state.was_sent("decided/0")
    assert state.was_sent("decided/1")
    assert len(state.told) == MAX_SENT
    # Sent again, it is the newest and stays.
    state.add_sent(["decided/1"], NOW)
    state.add_sent(["decided/new"], NOW)
    assert state.was_sent("decided/1") and not state.was_sent("decided/2")
    assert len(NotificationState(channels={"slack": state}).to_cursor()) < 100_000


def test_room_comes_back_as_time_goes_by() -> None:
    state = ChannelState()
    period = timedelta(minutes=10)
    state.add_sent(["a"], NOW)
    state.add_sent(["b"], NOW + timedelta(minutes=5))
    assert state.room(NOW + timedelta(minutes=6), 2, period) == 0
    assert state.room(NOW + timedelta(minutes=11), 2, period) == 1
    assert state.room(NOW + timedelta(minutes=16), 2, period) == 2


def test_the_state_survives_the_cursor() -> None:
    assert NotificationState.from_cursor(STATE.to_cursor()) == STATE


def test_what_an_earlier_version_sent_is_not_sent_again() -> None:
    document = json.loads(STATE.to_cursor())
    document["channels"]["slack"] |= {"awaited": {"job-1": {}}, "refusal": None}
    assert NotificationState.from_cursor(json.dumps(document)) == STATE


@pytest.mark.parametrize("cursor", [None, "", "no json", '{"of": "something else"}'])
def test_an_unreadable_cursor_begins_again(cursor: str | None) -> None:
    assert NotificationState.from_cursor(cursor) == NotificationState()
