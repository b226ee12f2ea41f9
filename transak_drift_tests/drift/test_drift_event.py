"""A drift event: one identity, however many messages tell of it."""

from __future__ import annotations

from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event


def test_the_key_is_the_monitor_and_the_job_alone() -> None:
    first = drift_event("job-1", {"description": 0.6})
    second = drift_event("job-1", {"type": 0.9}, end=MAY_1)
    assert first.key == second.key == "transak-i1-data-drift-monitor/job-1"
    # Neither id can contain a slash, so that keys never collide.
    assert drift_event("job-1", monitor="a").key != drift_event("job-2", monitor="a").key
    assert drift_event("b-c", monitor="a").key != drift_event("c", monitor="a-b").key


def test_an_event_says_what_drifted_most() -> None:
    event = drift_event("job-1", {"type": 0.59781, "description": 0.4228, "amount": 0.30004})
    assert event.summary() == "type 0.5978 > 0.3, description 0.4228 > 0.3, amount 0.30004 > 0.3"
