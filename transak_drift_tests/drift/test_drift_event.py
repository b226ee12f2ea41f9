"""A drift event: one identity, however many messages tell of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.drift.drift_event import (
    FeatureAnomaly,
    drift_event_key,
    merge_events,
    pipeline_job_id,
)
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event

_IDS = st.from_regex(r"[A-Za-z0-9-]{1,63}", fullmatch=True)


@settings(deadline=None)
@given(_IDS, _IDS, _IDS, _IDS)
def test_keys_are_equal_only_for_the_same_monitor_and_job(
    monitor: str, job: str, other_monitor: str, other_job: str
) -> None:
    same = (monitor, job) == (other_monitor, other_job)
    assert (drift_event_key(monitor, job) == drift_event_key(other_monitor, other_job)) == same


def test_the_key_does_not_depend_on_what_one_message_says() -> None:
    first = drift_event("job-1", {"description": 0.6})
    second = replace(drift_event("job-1", {"type": 0.9}), log_entry_id="x", window_start=None)
    assert first.key == second.key == "transak-i1-data-drift-monitor/job-1"
    assert drift_event("job-2").key != first.key


@settings(deadline=None)
@given(st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True), _IDS, _IDS)
def test_a_pipeline_job_id_is_one_that_vertex_ai_takes(
    pipeline: str, monitor: str, job: str
) -> None:
    key = drift_event_key(monitor, job)
    job_id = pipeline_job_id(pipeline, key)
    assert re.fullmatch(r"[a-z][-a-z0-9]{0,127}", job_id)
    assert job_id == pipeline_job_id(pipeline, key)
    assert job_id != pipeline_job_id(pipeline, key + "x")


def test_a_pipeline_job_id_never_changes() -> None:
    # A changed derivation would train events again that were trained before the change. The
    # digest is that of `printf %s transak-i1-data-drift-monitor/job-1 | sha256sum`.
    key = "transak-i1-data-drift-monitor/job-1"
    assert (
        pipeline_job_id("pipeline-train", key)
        == "pipeline-train-drift-5676de027ef23c1403437f89a39ab3d0"
    )


def test_messages_of_one_event_are_joined() -> None:
    end = MAY_1 + timedelta(days=1)
    first = drift_event("job-1", {"type": 0.5, "description": 0.6}, end=end)
    second = replace(
        drift_event("job-1", {"type": 0.7, "amount": 0.4}, end=end + timedelta(hours=1)),
        window_start=MAY_1 - timedelta(hours=1),
    )
    for merged in (merge_events(first, second), merge_events(second, first)):
        assert merged.anomalies == (
            FeatureAnomaly("amount", 0.4, 0.3),
            FeatureAnomaly("description", 0.6, 0.3),
            FeatureAnomaly("type", 0.7, 0.3),
        )
        assert merged.window_start == MAY_1 - timedelta(hours=1)
        assert merged.window_end == end + timedelta(hours=1)
        assert merged.key == first.key
    assert merge_events(first, replace(second, window_start=None)).window_start == MAY_1
    no_start = replace(first, window_start=None)
    assert merge_events(no_start, no_start).window_start is None


def test_messages_of_two_events_are_not_joined() -> None:
    with pytest.raises(ValueError, match=r"job-1' and .*job-2' are not the same"):
        merge_events(drift_event("job-1"), drift_event("job-2"))
