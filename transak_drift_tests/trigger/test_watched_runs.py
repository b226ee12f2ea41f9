"""The memory of the sensor of monitoring results."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from transak_drift.trigger.watched_runs import WatchedRun, WatchedRuns

RUN = WatchedRun(job_name="job", since=datetime(2026, 5, 1, tzinfo=UTC))
DAYS = st.sampled_from([f"2026-05-0{number}" for number in range(1, 10)])


def watched(*days: str) -> WatchedRuns:
    return WatchedRuns().with_started(7, [(day, RUN) for day in days])


@given(st.lists(DAYS), st.integers(min_value=0, max_value=10**12))
def test_the_cursor_keeps_everything_in_order(days: list[str], seen: int) -> None:
    state = WatchedRuns().with_started(seen, [(day, RUN) for day in days])
    restored = WatchedRuns.from_cursor(state.to_cursor())
    assert restored == state
    assert list(restored.waiting) == list(state.waiting)


@given(st.lists(DAYS, unique=True), st.lists(DAYS), st.lists(DAYS))
def test_a_tick_loses_only_what_is_done_and_turns_what_was_looked_at(
    days: list[str], looked_at: list[str], done: list[str]
) -> None:
    before = watched(*days)
    after = before.after(looked_at, done)
    assert set(after.waiting) == set(days) - set(done)
    order = list(after.waiting)
    unseen = [day for day in days if day not in looked_at and day not in done]
    assert order[: len(unseen)] == unseen
    assert after.seen == before.seen


def test_a_newer_run_of_a_day_takes_the_place_of_the_older() -> None:
    newer = WatchedRun(job_name="newer", since=RUN.since)
    state = watched("2026-05-01", "2026-05-02").with_started(9, [("2026-05-01", newer)])
    assert state.waiting["2026-05-01"] == newer
    assert (len(state.waiting), state.seen) == (2, 9)


def test_an_unreadable_cursor_begins_anew() -> None:
    for cursor in (None, "", "not json", '{"seen": -1}', '{"other": 1}', "[]"):
        assert WatchedRuns.from_cursor(cursor) == WatchedRuns()
