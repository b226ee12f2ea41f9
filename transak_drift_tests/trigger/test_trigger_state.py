"""The sensor's cursor."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.trigger.trigger_state import (
    HeldEvent,
    RequestedEvent,
    TriggerState,
    UnreadableCursorError,
)
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event, drift_events

_IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ACK_IDS = st.dictionaries(_IDS, _IDS, max_size=3)
_TIMES = st.datetimes(timezones=st.just(UTC))
_STATES = st.builds(
    TriggerState,
    requested=st.dictionaries(
        _IDS,
        st.builds(RequestedEvent, event=drift_events(), since=_TIMES, messages=_ACK_IDS),
        max_size=2,
    ),
    held=st.dictionaries(
        _IDS,
        st.builds(HeldEvent, event=drift_events(), reason=_IDS, since=_TIMES),
        max_size=2,
    ),
    recorded=_ACK_IDS,
    superseded=st.lists(_IDS, max_size=3),
)


@settings(deadline=None, max_examples=100)
@given(_STATES)
def test_a_cursor_is_read_back_as_it_was_written(state: TriggerState) -> None:
    again = TriggerState.from_cursor(state.to_cursor())
    assert again == state
    assert list(again.held) == list(state.held)
    assert again.to_cursor() == state.to_cursor()


@pytest.mark.parametrize("cursor", [None, ""])
def test_the_first_tick_has_an_empty_state(cursor: str | None) -> None:
    assert TriggerState.from_cursor(cursor) == TriggerState()


@pytest.mark.parametrize(
    "cursor",
    ["x", "[]", "5", '{"held": []}', '{"held": {"a": {}}}', '{"unknown": 1}', '{"recorded": {"a"'],
)
def test_a_cursor_that_cannot_be_read_is_not_passed_over(cursor: str) -> None:
    # The messages of held events are acknowledged: an empty state would lose those events.
    with pytest.raises(UnreadableCursorError, match=r"cannot be read.*put the last good"):
        TriggerState.from_cursor(cursor)


def test_a_cursor_of_before_a_field_was_added_is_read() -> None:
    state = TriggerState(recorded={"message": "ack"})
    older = json.loads(state.to_cursor())
    del older["superseded"]
    assert TriggerState.from_cursor(json.dumps(older)) == state


def test_waiting_messages_are_those_with_a_lease() -> None:
    since = datetime(2026, 5, 2, tzinfo=UTC)
    state = TriggerState(
        requested={
            "a": RequestedEvent(event=drift_event("a"), since=since, messages={"1": "x", "2": "y"})
        },
        held={"b": HeldEvent(event=drift_event("b"), reason="cooldown", since=MAY_1)},
        recorded={"3": "z"},
        superseded=["c"],
    )
    assert state.waiting_messages == 3
    assert TriggerState().waiting_messages == 0
