"""A drift event: one identity, however many messages tell of it."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.drift.drift_event import (
    DriftedFeature,
    drift_event_key,
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


def test_the_key_is_the_monitor_and_the_job_alone() -> None:
    first = drift_event("job-1", {"description": 0.6})
    second = drift_event("job-1", {"type": 0.9}, end=MAY_1)
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


def test_an_event_says_what_drifted_most() -> None:
    event = drift_event("job-1", {"type": 0.59781, "description": 0.4228})
    assert event.most_drifted == DriftedFeature(feature="type", distance=0.59781, threshold=0.3)
    assert event.summary() == "type 0.5978 > 0.3, description 0.4228 > 0.3"


def test_a_pipeline_job_id_never_changes() -> None:
    # A changed derivation would train events again that were trained before the change. The
    # digest is that of `printf %s transak-i1-data-drift-monitor/job-1 | sha256sum`.
    key = "transak-i1-data-drift-monitor/job-1"
    assert (
        pipeline_job_id("pipeline-train", key)
        == "pipeline-train-drift-5676de027ef23c1403437f89a39ab3d0"
    )
