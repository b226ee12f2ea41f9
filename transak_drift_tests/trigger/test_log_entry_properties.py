"""Whatever arrives: an event that was written is read back, and nothing else raises or trains."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from transak_drift.drift.drift_event import DriftEvent
from transak_drift.trigger.log_entry import (
    MalformedMessageError,
    anomaly_log_entry,
    parse_log_entry,
)
from transak_drift.trigger.message_assessment import (
    LONGEST_DETAIL,
    Drift,
    NotDrift,
    Rejected,
    assess_message,
)
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import (
    LOCATION,
    MONITOR,
    PROJECT,
    drift_event,
    drift_events,
    message_body,
)

CONFIG = configuration(project_number="123456789012")
VALID_BODY = message_body(drift_event("job-1", {"description": 0.6, "type": 0.9}))
VALID_ENTRY: dict[str, Any] = json.loads(VALID_BODY)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["\ud800", "2026-05-01T00:00:00Z", "RAW_FEATURE_DRIFT", 10**400]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(sorted(VALID_ENTRY) + sorted(VALID_ENTRY["jsonPayload"]))
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def check(body: bytes) -> None:
    """Hold any body against the promises of the parser and of the assessment."""
    try:
        parsed = parse_log_entry(body)
    except MalformedMessageError as error:
        parsed = None
        assert error.detail
    assessment = assess_message(body, CONFIG)
    if isinstance(assessment, Rejected):
        # It becomes attributes of a Pub/Sub message, which hold 1024 bytes.
        assert assessment.detail.isascii()
        assert assessment.detail.isprintable()
        assert 0 < len(assessment.detail) <= LONGEST_DETAIL
        return
    assert parsed is not None
    assert parsed.project in (CONFIG.project_id, CONFIG.project_number)
    assert (parsed.location, parsed.model_monitor_id) == (LOCATION, MONITOR)
    assert parsed.objective == "RAW_FEATURE_DRIFT"
    above = {
        anomaly.feature
        for anomaly in parsed.anomalies
        if anomaly.deviation > CONFIG.drift_thresholds.get(anomaly.feature, 1)
    }
    if isinstance(assessment, Drift):
        assert {anomaly.feature for anomaly in assessment.event.anomalies} == above != set()
    else:
        assert isinstance(assessment, NotDrift)
        assert not above


@settings(deadline=None, max_examples=400)
@given(drift_events())
def test_an_event_that_is_written_is_read_back(event: DriftEvent) -> None:
    entry = anomaly_log_entry(
        event, project_id=PROJECT, receive_time=datetime(2026, 5, 2, tzinfo=UTC)
    )
    for ensure_ascii in (True, False):
        body = json.dumps(entry, ensure_ascii=ensure_ascii, allow_nan=False).encode("utf-8")
        assert parse_log_entry(body) == event


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=400))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"9" * 100_000)
@example(b'{"jsonPayload": {"@type": "\\ud800"}}')
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    check(body)


@settings(deadline=None, max_examples=500)
@given(json_values)
def test_no_json_raises_anything_else(value: Any) -> None:
    check(json.dumps(value).encode("ascii"))


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the place of every value in a JSON document but the document itself."""
    if isinstance(value, dict):
        members: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    else:
        members = []
    found: list[tuple[str | int, ...]] = []
    for key, member in members:
        found += [(*path, key), *places(member, (*path, key))]
    return found


def holder_of(entry: Any, place: tuple[str | int, ...]) -> Any:
    for part in place[:-1]:
        entry = entry[part]
    return entry


@settings(deadline=None, max_examples=800)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(places(VALID_ENTRY)), st.none() | json_values),
        min_size=1,
        max_size=3,
    ),
    deleted=st.booleans(),
)
def test_no_changed_entry_raises_anything_else(
    changes: list[tuple[tuple[str | int, ...], Any]], deleted: bool
) -> None:
    entry = copy.deepcopy(VALID_ENTRY)
    for place, value in changes:
        try:
            holder = holder_of(entry, place)
            if deleted:
                del holder[place[-1]]
            else:
                holder[place[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # An earlier change removed the place.
    check(json.dumps(entry).encode("ascii"))


@settings(deadline=None, max_examples=800)
@given(
    position=st.integers(0, len(VALID_BODY)),
    removed=st.integers(0, 12),
    inserted=st.binary(max_size=6) | st.sampled_from([b"\xe2\x80\x8d", b'"', b"}", b"\n", b"1"]),
)
def test_no_changed_bytes_of_an_entry_raise_anything_else(
    position: int, removed: int, inserted: bytes
) -> None:
    check(VALID_BODY[:position] + inserted + VALID_BODY[position + removed :])


@settings(deadline=None, max_examples=400)
@given(
    part=st.sampled_from(["project", "location", "model_monitor_id", "objective"]),
    position=st.integers(0, 60),
    removed=st.integers(0, 3),
    inserted=st.text(max_size=3)
    | st.sampled_from(["\u200d", "а", "６", "\n", " ", "/", "%2F", "\x00", "\ud800", "..", "A"]),
    everywhere=st.booleans(),
)
def test_a_forged_name_never_trains(
    part: str, position: int, removed: int, inserted: str, everywhere: bool
) -> None:
    true = {
        "project": PROJECT,
        "location": LOCATION,
        "model_monitor_id": MONITOR,
        "objective": "RAW_FEATURE_DRIFT",
    }[part]
    forged = true[:position] + inserted + true[position + removed :]
    assume(forged != true)
    assume(not (part == "project" and forged == CONFIG.project_number))
    text = VALID_BODY.decode("utf-8")
    entry = json.loads(text)
    if everywhere or part == "objective":
        # As a consistent forger writes it: in each field that names it.
        entry = json.loads(text.replace(json.dumps(true)[1:-1], json.dumps(forged)[1:-1]))
    else:
        job = entry["jsonPayload"]["modelMonitoringJob"]
        entry["jsonPayload"]["modelMonitoringJob"] = job.replace(true, forged)
    assert isinstance(assess_message(json.dumps(entry).encode("ascii"), CONFIG), Rejected)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([MONITOR, LOCATION, PROJECT]),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20),
)
def test_a_monitor_and_a_job_that_contradict_each_other_never_train(true: str, forged: str) -> None:
    assume(forged != true)
    entry = copy.deepcopy(VALID_ENTRY)
    monitor = entry["jsonPayload"]["modelMonitor"]
    entry["jsonPayload"]["modelMonitor"] = monitor.replace(true, forged)
    assert isinstance(assess_message(json.dumps(entry).encode("ascii"), CONFIG), Rejected)
