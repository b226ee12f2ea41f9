"""A drift event: one identity, however many messages tell of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.drift.drift_event import DriftedFeature, drift_event_key
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event

_IDS = st.from_regex(r"[A-Za-z0-9-]{1,63}", fullmatch=True)


@settings(deadline=None)
@given(_IDS, _IDS, _IDS, _IDS)
def test_keys_are_equal_only_for_the_same_monitor_and_job(
    monitor: str, job: str, other_monitor: str, other_job: str
) -> None:
    same = (monitor, job) == (other_monitor, other_job)
    assert (drift_event_key(monitor, job) == drift_event_key(other_monitor, other_job)) == same


def test_the_key_is_the_monitor_and_the_job_alone() -> None:
    first = drift_event("job-1", {"description": 0.6})
    second = drift_event("job-1", {"type": 0.9}, end=MAY_1)
    assert first.key == second.key == "transak-i1-data-drift-monitor/job-1"
    assert drift_event("job-2").key != first.key


def test_an_event_says_what_drifted_most() -> None:
    event = drift_event("job-1", {"type": 0.59781, "description": 0.4228})
    assert event.most_drifted == DriftedFeature(feature="type", distance=0.59781, threshold=0.3)
    assert event.summary() == "type 0.5978 > 0.3, description 0.4228 > 0.3"
