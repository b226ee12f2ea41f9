"""Message to monitoring job: any shape that names one job will do, and no input raises."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.resource_names import NamedJob
from transak_drift.trigger.message import (
    MAX_BODY_BYTES,
    MAX_DETAIL_LENGTH,
    Notice,
    Rejected,
    RejectionReason,
    read_message,
    sanitize_detail,
)

JOB = NamedJob("123456789012", "europe-west6", "4412345678901234567", "2203317554485133312")
OTHER = NamedJob("af-finanzen", "europe-west6", "transak-i1-data-drift-monitor", "day-1")


def read(document: Any) -> tuple[NamedJob, ...] | Notice | Rejected:
    return read_message(json.dumps(document).encode())


CHANNEL = {
    "subject": "Vertex AI Model Monitoring Job anomalies detected",
    "details": {
        "model_monitoring_job_name": JOB.name,
        "model_monitoring_job_url": f"https://console.cloud.google.com/{JOB.name}?project=1",
        "model_name": f"projects/1/locations/europe-west6/models/5 @42 {OTHER.name}",
    },
}


@pytest.mark.parametrize(
    "document",
    [
        CHANNEL,
        {"jsonPayload": {"modelMonitoringJob": JOB.name, "copy": OTHER.name}},
        {"jsonPayload": {"@type": "unknown", "deep": [{"er": [[JOB.name]]}]}, "labels": {"x": "y"}},
        {"protoPayload": {"resourceName": JOB.name}, "again": [JOB.name, JOB.name]},
        {"x": f"//aiplatform.googleapis.com/{JOB.name}"},
        [JOB.name],
        JOB.name,
        {"subject": "anomalies", "details": {"other": JOB.name}},
        {"subject": 7, "details": {"model_monitoring_job_name": JOB.name}},
        {"details": {"model_monitoring_job_name": None}, "jsonPayload": {"x": JOB.name}},
    ],
)
def test_the_one_job_that_a_body_names_is_found(document: Any) -> None:
    assert read(document) == (JOB,)
    assert read_message(codecs.BOM_UTF8 + json.dumps(document).encode()) == (JOB,)


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "",
        7,
        None,
        {"x": JOB.name[:-1] + "!"},
        {"x": f" {JOB.name}"},
        {"x": f"job {JOB.name} has ended"},
        {"x": f"{JOB.name}/operations/1"},
        {"x": JOB.name.rpartition("/modelMonitoringJobs/")[0]},
        {JOB.name: "a key is no text"},
        {"jsonPayload": {"modelDeploymentMonitoringJob": "projects/1/locations/e/x/1"}},
    ],
)
def test_a_body_that_names_no_job_is_rejected(document: Any) -> None:
    answer = read(document)
    assert isinstance(answer, Rejected)
    assert answer.reason == RejectionReason.NO_JOB


def test_several_jobs_are_left_to_the_platform_and_a_crowd_is_rejected() -> None:
    assert read({"a": JOB.name, "b": [OTHER.name], "c": JOB.name}) == (JOB, OTHER)
    crowd = read([NamedJob("p", "l", "m", f"j{number}").name for number in range(11)])
    assert isinstance(crowd, Rejected)
    assert crowd.reason == RejectionReason.SEVERAL_JOBS


@pytest.mark.parametrize(
    "subject", ["Vertex AI Model Monitoring Job started", "", "Job \x1b[31mcompleted\n"]
)
def test_a_channels_message_of_anything_else_is_a_notice(subject: str) -> None:
    answer = read({**CHANNEL, "subject": subject})
    assert isinstance(answer, Notice)
    assert answer.text.isprintable()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", RejectionReason.NOT_UTF8),
        (b"{", RejectionReason.NOT_JSON),
        (b"", RejectionReason.NOT_JSON),
        (b"[" * 200_000, RejectionReason.NOT_JSON),
        (b'{"a": 1, "a": 2}', RejectionReason.NOT_JSON),
        (b'{"a": NaN}', RejectionReason.NOT_JSON),
        (b"9" * 100_000, RejectionReason.NOT_JSON),
        (b" " * (MAX_BODY_BYTES + 1), RejectionReason.TOO_LARGE),
        (json.dumps({str(n): n for n in range(50_000)}).encode(), RejectionReason.NO_JOB),
    ],
)
def test_a_body_that_is_no_json_is_rejected_with_its_reason(
    body: bytes, reason: RejectionReason
) -> None:
    answer = read_message(body)
    assert isinstance(answer, Rejected)
    assert answer.reason == reason


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers() | st.just(JOB.name),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=400) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises(body: bytes) -> None:
    answer = read_message(body)
    match answer:
        case Rejected(_, detail):
            assert detail.isascii()
            assert detail.isprintable()
            assert len(detail) <= MAX_DETAIL_LENGTH
        case tuple() as jobs:
            assert jobs
            assert all(job.name.encode() in body for job in jobs)


@given(st.text(max_size=3_000))
def test_a_detail_fits_into_an_attribute(text: str) -> None:
    shown = sanitize_detail(text)
    assert shown.isascii()
    assert shown.isprintable() or not shown
    assert len(shown) <= MAX_DETAIL_LENGTH
