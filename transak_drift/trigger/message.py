"""Message to monitoring job: the one thing that is believed of a message is the job that it names.

Google publishes no shape of a v2 anomaly entry, and a message is untrusted anyway. So any JSON will
do in which the resource name of a ModelMonitoringJob stands. Known shapes: LogEntry ("Cloud
Logging: LogEntry"), and what a Cloud Monitoring notification channel of type pubsub publishes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from transak_drift.config.resource_names import NamedJob, parse_monitoring_job_name

# A log entry has at most 256 KiB ("Cloud Logging: Quotas and limits"); four times that is no entry.
MAX_BODY_BYTES = 1024 * 1024
_MAX_NAMED_JOBS = 10
# An attribute of a Pub/Sub message holds 1024 bytes ("Pub/Sub quotas and limits").
MAX_DETAIL_LENGTH = 1_000
_MAX_NAME_LENGTH = 300
# A full resource name begins with its service ("Google API resource names").
_SERVICE = "//aiplatform.googleapis.com/"


class ReceivedMessage(NamedTuple):
    """One delivery of a message; its id is the same at each delivery, the ack id is not."""

    message_id: str
    ack_id: str
    data: bytes
    attributes: Mapping[str, str] = MappingProxyType({})


class RejectionReason(StrEnum):
    """Why a message is not acted upon; the attribute `reason` of a dead letter."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NO_JOB = "no_monitoring_job"
    SEVERAL_JOBS = "several_monitoring_jobs"
    OTHER_PROJECT = "other_project"
    OTHER_LOCATION = "other_location"
    OTHER_MONITOR = "other_monitor"
    JOB_MISSING = "job_missing"
    JOB_FAILED = "job_failed"
    JOB_NEVER_ENDED = "job_never_ended"
    WINDOW_OUT_OF_RANGE = "window_out_of_range"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification channel's message about anything else than anomalies, e.g. a job's start."""

    text: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """What belongs in the dead-letter topic; the detail fits into an attribute of it."""

    reason: RejectionReason
    detail: str


def read_message(body: bytes) -> tuple[NamedJob, ...] | Notice | Rejected:
    """Read which monitoring jobs a message names, each once; never raises for any input.

    Where a notification channel or a LogEntry names its job counts before every other text in the
    JSON that is wholly the resource name of a job.
    """
    if len(body) > MAX_BODY_BYTES:
        detail = f"{len(body)} bytes, more than the {MAX_BODY_BYTES} allowed"
        return Rejected(RejectionReason.TOO_LARGE, detail)
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_members)
    except UnicodeDecodeError as error:
        return Rejected(RejectionReason.NOT_UTF8, f"byte {error.start} of the body is not UTF-8")
    except (ValueError, RecursionError) as error:
        detail = sanitize_detail(f"the body is not JSON: {str(error)[:200]}")
        return Rejected(RejectionReason.NOT_JSON, detail)
    match document:
        case {"subject": str(subject), "details": {}} if "anomal" not in subject.casefold():
            return Notice(sanitize_detail(subject))
        case {"details": {"model_monitoring_job_name": name}} if _named_job(name):
            document = name
        case {"jsonPayload": {"modelMonitoringJob": name}} if _named_job(name):
            document = name
    jobs = dict.fromkeys(job for text in _texts(document) if (job := _named_job(text)))
    if len(jobs) > _MAX_NAMED_JOBS:
        detail = f"the body names {len(jobs)} monitoring jobs, expected one"
        return Rejected(RejectionReason.SEVERAL_JOBS, detail)
    if not jobs:
        return Rejected(
            RejectionReason.NO_JOB,
            "no text in the body is the resource name of a monitoring job, projects/<project>/"
            "locations/<location>/modelMonitors/<monitor>/modelMonitoringJobs/<job>",
        )
    return tuple(jobs)


def sanitize_detail(text: str) -> str:
    """Return a text as at most 1000 printable ASCII characters; others are escaped."""
    shown = text[: MAX_DETAIL_LENGTH + 1].encode("unicode_escape").decode()
    return shown if len(shown) <= MAX_DETAIL_LENGTH else f"{shown[: MAX_DETAIL_LENGTH - 3]}..."


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"a key of {[key[:80] for key in members][:10]} stands twice")
    return members


def _texts(document: Any) -> Iterator[str]:
    # Without recursion: the nesting is the publisher's choice.
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            waiting.extend(reversed(value.values() if isinstance(value, dict) else value))


def _named_job(text: Any) -> NamedJob | None:
    # What is no name by far is not parsed: a body may hold hundreds of thousands of texts.
    if not isinstance(text, str) or len(text) > _MAX_NAME_LENGTH or "/modelMonitors/" not in text:
        return None
    try:
        return parse_monitoring_job_name(text.removeprefix(_SERVICE))
    except ValueError:
        return None
