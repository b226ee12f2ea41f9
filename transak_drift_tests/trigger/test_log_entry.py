"""The message contract: what is read out of a log entry, and every shape that is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from transak_drift.drift.drift_event import FeatureAnomaly
from transak_drift.trigger.log_entry import (
    LARGEST_BODY,
    MOST_ANOMALIES,
    MalformedMessageError,
    RejectionReason,
    parse_log_entry,
)
from transak_drift_tests.trigger.drift_messages import drift_event, message_body
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY, changed_entry

JOB = DRIFT_ENTRY["jsonPayload"]["modelMonitoringJob"]


def body(entry: Any) -> bytes:
    return json.dumps(entry).encode("ascii")


def refusal(data: bytes) -> MalformedMessageError:
    with pytest.raises(MalformedMessageError) as caught:
        parse_log_entry(data)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.detail}"
    return caught.value


def with_number(text: str) -> bytes:
    """Return the drift entry with a deviation of this text, which need not be JSON."""
    return body(changed_entry("jsonPayload.featureAnomalies", "HERE")).replace(
        b'"HERE"', b'[{"featureDisplayName": "type", "deviation": %s}]' % text.encode("ascii")
    )


def test_an_entry_as_the_sink_publishes_it_is_read() -> None:
    event = parse_log_entry(body(DRIFT_ENTRY))
    assert event.project == "123456789"
    assert event.location == "europe-west6"
    assert event.model_monitor_id == "transak-i1-data-drift-monitor"
    assert event.monitoring_job_id == "7382940182736455"
    assert event.objective == "RAW_FEATURE_DRIFT"
    assert event.anomalies == (FeatureAnomaly("description", 0.61, 0.3),)
    assert event.window_start == datetime(2026, 5, 1, tzinfo=UTC)
    assert event.window_end == datetime(2026, 5, 2, tzinfo=UTC)
    assert event.log_entry_id == "1pn7rrzf2cv5kq"
    assert event.key == "transak-i1-data-drift-monitor/7382940182736455"


def test_what_we_write_has_the_fields_of_a_real_entry() -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(member) for key, member in value.items()}
        return [shape(item) for item in value] if isinstance(value, list) else type(value)

    written = json.loads(message_body(drift_event()))
    assert shape(written) == shape(DRIFT_ENTRY)
    for path in ("logName", "severity", "resource"):
        assert written[path] == DRIFT_ENTRY[path] or path == "resource"
    assert written["resource"]["type"] == DRIFT_ENTRY["resource"]["type"]
    assert written["jsonPayload"]["@type"] == DRIFT_ENTRY["jsonPayload"]["@type"]


def test_fields_that_an_entry_may_lack() -> None:
    bare = {
        "timestamp": "2026-05-02T00:00:00Z",
        "jsonPayload": {
            "@type": DRIFT_ENTRY["jsonPayload"]["@type"],
            "anomalyObjective": "RAW_FEATURE_DRIFT",
            "modelMonitoringJob": JOB,
            "featureAnomalies": [{"featureDisplayName": "type", "deviation": 1}],
        },
    }
    event = parse_log_entry(body(bare))
    assert event.window_start is None
    assert event.window_end == datetime(2026, 5, 2, tzinfo=UTC)
    assert event.log_entry_id == ""
    assert event.anomalies == (FeatureAnomaly("type", 1.0, None),)
    bare["jsonPayload"] |= {"startTime": None, "endTime": None, "modelMonitor": None}
    assert parse_log_entry(body(bare)) == event


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("jsonPayload", None, "missing"),
        ("jsonPayload", [], "a list of 0"),
        ("jsonPayload", "text", "'text'"),
        ("jsonPayload.@type", None, "missing"),
        ("jsonPayload.@type", "type.googleapis.com/other", "'type.googleapis.com/other'"),
        ("jsonPayload.@type", 5, "5"),
        ("jsonPayload.anomalyObjective", None, "missing"),
        ("jsonPayload.anomalyObjective", "", "''"),
        ("jsonPayload.anomalyObjective", ["RAW_FEATURE_DRIFT"], "a list of 1"),
        ("jsonPayload.anomalyObjective", "RAW\ud800", "'RAW\\ud800'"),
        ("jsonPayload.modelMonitoringJob", None, "missing"),
        ("jsonPayload.modelMonitoringJob", 5, "5"),
        ("jsonPayload.modelMonitoringJob", {}, "an object of 0"),
        ("jsonPayload.modelMonitor", "projects/x/locations/y/modelMonitors/z", "'projects/x/"),
        ("jsonPayload.modelMonitor", 5, "5"),
        ("jsonPayload.featureAnomalies", None, "missing"),
        ("jsonPayload.featureAnomalies", [], "a list of 0"),
        ("jsonPayload.featureAnomalies", {}, "an object of 0"),
        ("jsonPayload.featureAnomalies", "type", "'type'"),
        ("jsonPayload.endTime", 1_777_680_000, "1777680000"),
        ("jsonPayload.endTime", "", "''"),
        ("jsonPayload.endTime", {"seconds": 5}, "an object of 1"),
        ("jsonPayload.startTime", "2026-05-02T00:00:00.000001Z", "'2026-05-02T00:00:00.000001Z'"),
        ("jsonPayload.startTime", False, "False"),
        ("insertId", 5, "5"),
        ("insertId", "a\x00b", "'a\\x00b'"),
        ("insertId", "\ud800", "'\\ud800'"),
        ("insertId", "a\u200db", "'a\\u200db'"),
    ],
)
def test_a_field_of_the_wrong_shape_is_named_with_what_stands_there(
    path: str, value: Any, found: str
) -> None:
    error = refusal(body(changed_entry(path, value)))
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert error.detail.startswith(f"{path} is {found}")
    assert error.detail.isascii()


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ("type", "jsonPayload.featureAnomalies[1] is 'type'"),
        (None, "jsonPayload.featureAnomalies[1] is missing"),
        ({}, "jsonPayload.featureAnomalies[1].featureDisplayName is missing"),
        (
            {"featureDisplayName": "", "deviation": 0.5},
            "jsonPayload.featureAnomalies[1].featureDisplayName is ''",
        ),
        (
            {"featureDisplayName": "t" * 257, "deviation": 0.5},
            "jsonPayload.featureAnomalies[1].featureDisplayName is 'ttt",
        ),
        (
            {"featureDisplayName": "\udc00", "deviation": 0.5},
            "jsonPayload.featureAnomalies[1].featureDisplayName is '\\udc00'",
        ),
        (
            {"featureDisplayName": "type"},
            "jsonPayload.featureAnomalies[1].deviation is missing",
        ),
        (
            {"featureDisplayName": "type", "deviation": 0.5, "threshold": "0.3"},
            "jsonPayload.featureAnomalies[1].threshold is '0.3'",
        ),
    ],
)
def test_a_wrong_anomaly_is_named_by_its_index(item: Any, place: str) -> None:
    good = {"featureDisplayName": "type", "deviation": 0.5}
    error = refusal(body(changed_entry("jsonPayload.featureAnomalies", [good, item])))
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert error.detail.startswith(place)


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("true", "True"),
        ("false", "False"),
        ('"0.5"', "'0.5'"),
        ("[0.5]", "a list of 1"),
        ("{}", "an object of 0"),
        ("-0.0001", "-0.0001"),
        ("1.0000001", "1.0000001"),
        ("1e999", "inf"),
        ("-1e999", "-inf"),
        ("9" * 300, "a huge number"),
    ],
)
def test_a_deviation_is_a_number_from_0_to_1(number: str, found: str) -> None:
    error = refusal(with_number(number))
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert f"deviation is {found}, expected a number from 0 to 1" in error.detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "9" * 10_000, "01", ".5", "+1"])
def test_a_number_that_json_does_not_have_is_not_json(number: str) -> None:
    assert refusal(with_number(number)).reason == RejectionReason.NOT_JSON


@pytest.mark.parametrize(
    "number", ["0", "1", "0.0", "-0.0", "1e-400", "5E-1", "0.30000000000000004"]
)
def test_every_number_from_0_to_1_is_read(number: str) -> None:
    (anomaly,) = parse_log_entry(with_number(number)).anomalies
    assert anomaly.deviation == float(number)
    assert type(anomaly.deviation) is float


@pytest.mark.parametrize(
    "name",
    [
        "",
        JOB + "\n",
        JOB + "/",
        "/" + JOB,
        " " + JOB,
        JOB + "\u200d",
        JOB.replace("123456789", "１２３４５６７８９"),
        JOB.replace("projects", "Projects"),
        JOB.replace("transak", "trаnsak"),
        JOB.replace("transak", "tran\u200bsak"),
        JOB.replace("europe", "europe/x"),
        JOB.replace("/modelMonitors/", "/modelMonitors/a/modelMonitors/"),
        JOB.replace("7382940182736455", ""),
        JOB.replace("7382940182736455", "7" * 64),
        JOB.replace("7382940182736455", "../1"),
        JOB.replace("7382940182736455", "1?x=2"),
        JOB.replace("7382940182736455", "a b"),
        JOB.replace("/modelMonitoringJobs/", "/modelMonitoringJob/"),
        "projects/p/locations/l/modelDeploymentMonitoringJobs/5",
        "😀" * 200,
    ],
)
def test_a_resource_name_of_another_form_is_refused(name: str) -> None:
    error = refusal(body(changed_entry("jsonPayload.modelMonitoringJob", name)))
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert error.detail.startswith("jsonPayload.modelMonitoringJob")
    assert error.detail.isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-02T00:14:07Z", datetime(2026, 5, 2, 0, 14, 7, tzinfo=UTC)),
        ("2026-05-02T00:14:07.5Z", datetime(2026, 5, 2, 0, 14, 7, 500_000, tzinfo=UTC)),
        ("2026-05-02T00:14:07.482913Z", datetime(2026, 5, 2, 0, 14, 7, 482_913, tzinfo=UTC)),
        ("2026-05-02T00:14:07.482913615Z", datetime(2026, 5, 2, 0, 14, 7, 482_913, tzinfo=UTC)),
        ("2026-05-02t00:14:07z", datetime(2026, 5, 2, 0, 14, 7, tzinfo=UTC)),
        ("2026-05-02T02:14:07+02:00", datetime(2026, 5, 2, 0, 14, 7, tzinfo=UTC)),
        ("2026-05-01T18:29:07-05:45", datetime(2026, 5, 2, 0, 14, 7, tzinfo=UTC)),
        ("2026-05-02T00:14:07-00:00", datetime(2026, 5, 2, 0, 14, 7, tzinfo=UTC)),
        ("2028-02-29T23:59:59Z", datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_times_of_rfc_3339_are_read_to_the_microsecond(text: str, expected: datetime) -> None:
    entry = changed_entry("jsonPayload.startTime", None)
    entry["jsonPayload"]["endTime"] = text
    assert parse_log_entry(body(entry)).window_end == expected
    del entry["jsonPayload"]["endTime"]
    entry["timestamp"] = text
    assert parse_log_entry(body(entry)).window_end == expected


def test_the_first_year_is_read() -> None:
    entry = changed_entry("jsonPayload.startTime", "0001-01-01T00:00:00Z")
    assert parse_log_entry(body(entry)).window_start == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-02T00:14:07",
        "2026-05-02",
        "2026-05-02 00:14:07Z",
        "2026-05-02T00:14Z",
        "2026-05-02T24:00:00Z",
        "2026-05-02T00:14:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-05-02T00:14:07.Z",
        "2026-05-02T00:14:07.1234567890Z",
        "2026-05-02T00:14:07,5Z",
        "2026-05-02T00:14:07+24:00",
        "2026-05-02T00:14:07+0200",
        "20260502T001407Z",
        "2026-W18-6T00:00:00Z",
        "２０２６-05-02T00:14:07Z",
        "2026-05-02T00:14:07Z\n",
        " 2026-05-02T00:14:07Z",
        "12026-05-02T00:14:07Z",
        "-2026-05-02T00:14:07Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "now",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    error = refusal(body(changed_entry("jsonPayload.endTime", text)))
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert error.detail.startswith("jsonPayload.endTime is ")


def test_without_any_end_the_timestamp_is_asked_for() -> None:
    entry = changed_entry("jsonPayload.endTime", None)
    del entry["timestamp"]
    assert refusal(body(entry)).detail.startswith("timestamp is missing")


def test_a_body_up_to_the_limit_is_read_and_beyond_it_refused() -> None:
    data = body(DRIFT_ENTRY)
    padded = data + b" " * (LARGEST_BODY - len(data))
    assert parse_log_entry(padded) == parse_log_entry(data)
    error = refusal(padded + b" ")
    assert error.reason == RejectionReason.TOO_LARGE
    assert str(LARGEST_BODY + 1) in error.detail


def test_a_large_field_is_shown_short() -> None:
    error = refusal(body(changed_entry("jsonPayload.@type", "x" * 900_000)))
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert len(error.detail) < 500


def test_the_number_of_anomalies_is_bounded() -> None:
    item = {"featureDisplayName": "t", "deviation": 1}
    most = changed_entry("jsonPayload.featureAnomalies", [item] * MOST_ANOMALIES)
    assert len(parse_log_entry(body(most)).anomalies) == MOST_ANOMALIES
    more = changed_entry("jsonPayload.featureAnomalies", [item] * (MOST_ANOMALIES + 1))
    assert "a list of 10001, expected a list of 1 to 10000" in refusal(body(more)).detail


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_not_json(brackets: tuple[bytes, bytes]) -> None:
    opening, closing = brackets
    nested = opening * 100_000 + b"1" + closing * 100_000
    assert refusal(nested).reason == RejectionReason.NOT_JSON
    assert refusal(opening * 100_000).reason == RejectionReason.NOT_JSON
    data = body(DRIFT_ENTRY)
    assert refusal(data[:-1] + b', "extra": ' + nested + b"}").reason == RejectionReason.NOT_JSON


@pytest.mark.parametrize(
    "data", [b"\xff", b"{}\x80", b"\xc0\xaf", b"\xed\xa0\x80", '{"a": "ü"}'.encode("latin-1")]
)
def test_other_encodings_are_refused(data: bytes) -> None:
    assert refusal(data).reason == RejectionReason.NOT_UTF8


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"not json",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b'{"a": "\n"}',
        b'{"a": "\\x"}',
        '{"a": 1}'.encode("utf-16-be"),
    ],
)
def test_other_text_is_not_json(data: bytes) -> None:
    assert refusal(data).reason == RejectionReason.NOT_JSON


@pytest.mark.parametrize("data", [b"[]", b"null", b"5", b'"x"', b"true"])
def test_json_that_is_no_object_is_of_the_wrong_shape(data: bytes) -> None:
    error = refusal(data)
    assert error.reason == RejectionReason.WRONG_SHAPE
    assert error.detail.startswith("(body) is ")


@pytest.mark.parametrize("key", ["insertId", "anomalyObjective", "featureDisplayName"])
def test_a_key_given_twice_is_refused_wherever_it_stands(key: str) -> None:
    data = body(DRIFT_ENTRY).replace(
        b'"%s":' % key.encode(), b'"%s": "x", "%s":' % (key.encode(), key.encode())
    )
    error = refusal(data)
    assert error.reason == RejectionReason.NOT_JSON
    assert f"the key '{key}' stands twice" in error.detail
