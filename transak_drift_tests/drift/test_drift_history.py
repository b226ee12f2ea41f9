"""Drift events, and episodes of drift against a definition that looks at every pair of days."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.drift.drift_history import WindowDistance, drift_episodes
from transak_drift_tests.reports.report_results import history_of
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event
from transak_drift_tests.windows import day_window

FIRST = date(2026, 4, 1)


def test_the_key_of_an_event_is_the_monitor_and_the_job_alone() -> None:
    first = drift_event("job-1", {"description": 0.6})
    second = drift_event("job-1", {"type": 0.9}, end=MAY_1)
    assert first.key == second.key == "transak-i1-data-drift-monitor/job-1"
    # Neither id can contain a slash, so that keys never collide.
    assert drift_event("job-1", monitor="a").key != drift_event("job-2", monitor="a").key
    assert drift_event("b-c", monitor="a").key != drift_event("c", monitor="a-b").key


def test_an_event_says_what_drifted_most() -> None:
    event = drift_event("job-1", {"type": 0.59781, "description": 0.4228, "amount": 0.30004})
    assert event.summary() == "type 0.5978 > 0.3, description 0.4228 > 0.3, amount 0.30004 > 0.3"


day_distances = st.builds(
    WindowDistance,
    window=st.integers(0, 25).map(lambda number: day_window(FIRST + timedelta(days=number))),
    distance=st.one_of(st.none(), st.sampled_from([0.0, 0.3, 0.31, 0.5, 0.5, 1.0])),
    threshold=st.sampled_from([0.3, 0.4]),
)
histories = st.lists(day_distances, max_size=25, unique_by=lambda day: day.window).map(
    lambda days: sorted(days, key=lambda day: day.window)
)


@given(histories)
def test_episodes_are_the_longest_spans_without_a_day_below_with_their_peak(
    history: list[WindowDistance],
) -> None:
    found = drift_episodes(history)
    drifted = [day.window for day in history if day.drifted]
    quiet = [day.window for day in history if day.distance is not None and not day.drifted]
    spans = [
        (first, last)
        for first, last in combinations_with_replacement(sorted(drifted), 2)
        if not any(first < day < last for day in quiet)
    ]
    longest = [
        (first, last)
        for first, last in spans
        if not any((a, b) != (first, last) and a <= first and last <= b for a, b in spans)
    ]
    assert [(episode.onset.window, episode.last.window) for episode in found] == sorted(longest)
    for episode in found:
        within = [
            day
            for day in history
            if day.drifted and episode.onset.window <= day.window <= episode.last.window
        ]
        assert (episode.onset, episode.last) == (within[0], within[-1])
        greatest = max(day.distance or 0.0 for day in within)
        assert episode.peak == next(day for day in within if day.distance == greatest)
    assert [episode.ongoing for episode in found] == [
        not any(day > episode.last.window for day in quiet) for episode in found
    ]


@pytest.mark.parametrize(
    ("distances", "sentence"),
    [
        ([0.1, 0.52, 0.6], "drift of type began on 2026-03-02 (0.52 > 0.3) and still stands"),
        (
            [0.4, 0.61, 0.45, 0.1],
            "drift of type began on 2026-03-01 (0.40 > 0.3) and ended: its last window was "
            "2026-03-03, its peak 0.61 > 0.3",
        ),
        ([0.1, 0.30004], "drift of type began on 2026-03-02 (0.30004 > 0.3) and still stands"),
        ([0.1, None], "no window has drift of type"),
        ([0.3, 0.3], "no window has drift of type"),
    ],
)
def test_the_summary(distances: list[float | None], sentence: str) -> None:
    assert history_of({"type": distances}).summary("type") == sentence
