"""The message contract: a Cloud Logging LogEntry that tells of feature anomalies.

A log sink publishes the entry as JSON. The payload is the proto
`google.cloud.aiplatform.logging.ModelMonitoringAnomaliesLogEntry` in its JSON form, with the
resource names of Model Monitoring v2. Sources: "Vertex AI: Monitor feature skew and drift, Cloud
Logging" and "Cloud Logging: LogEntry".

A message is untrusted: everything is checked, nothing is guessed, and any input ends in a
`DriftEvent` or in a `MalformedMessageError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from transak_drift.config.resource_names import (
    model_monitor_name,
    monitoring_job_name,
    parse_monitoring_job_name,
)
from transak_drift.drift.drift_event import DriftEvent, FeatureAnomaly

ANOMALIES_TYPE = (
    "type.googleapis.com/google.cloud.aiplatform.logging.ModelMonitoringAnomaliesLogEntry"
)
MODEL_MONITOR_TYPE = "aiplatform.googleapis.com/ModelMonitor"
LOG_ID = "aiplatform.googleapis.com%2Fmodel_monitoring_anomaly"

# A log entry has at most 256 KiB ("Cloud Logging: Quotas and limits"); four times that is no entry.
LARGEST_BODY = 1024 * 1024
MOST_ANOMALIES = 10_000
LONGEST_FEATURE_NAME = 256
LONGEST_LOG_ENTRY_ID = 256

# The date-time of RFC 3339, section 5.6, without leap seconds, which the JSON form of a protobuf
# Timestamp never has. `datetime.fromisoformat` alone would take week dates and much else.
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class RejectionReason(StrEnum):
    """Why a message is not acted upon; the attribute `reason` of a dead letter."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    NOT_DRIFT_OBJECTIVE = "not_drift_objective"
    OTHER_PROJECT = "other_project"
    OTHER_LOCATION = "other_location"
    OTHER_MONITOR = "other_monitor"
    UNKNOWN_FEATURE = "unknown_feature"


class MalformedMessageError(ValueError):
    """A message that is no anomaly log entry.

    Args:
        reason: the kind of fault.
        detail: the field, what stands there and what was expected.
    """

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


def parse_log_entry(body: bytes) -> DriftEvent:
    """Read the drift event out of a message's body.

    Args:
        body: the message's data, a LogEntry as UTF-8 JSON.

    Returns:
        The event; nothing in it has been compared with the configuration.

    Raises:
        MalformedMessageError: the body is anything else.
    """
    entry = _decode(body)
    payload = _mapping(entry, "jsonPayload")
    payload_type = _text(payload, "@type", "jsonPayload")
    if payload_type != ANOMALIES_TYPE:
        raise _wrong("jsonPayload.@type", payload_type, ANOMALIES_TYPE)
    objective = _text(payload, "anomalyObjective", "jsonPayload")
    job_name = _text(payload, "modelMonitoringJob", "jsonPayload")
    try:
        project, location, monitor, job = parse_monitoring_job_name(job_name)
    except ValueError as error:
        raise MalformedMessageError(
            RejectionReason.WRONG_SHAPE, f"jsonPayload.modelMonitoringJob: {error}"
        ) from None
    named_monitor = payload.get("modelMonitor")
    if named_monitor is not None and named_monitor != model_monitor_name(
        project, location, monitor
    ):
        raise _wrong("jsonPayload.modelMonitor", named_monitor, "the monitor of modelMonitoringJob")
    start = payload.get("startTime")
    window_start = None if start is None else _time(start, "jsonPayload.startTime")
    if payload.get("endTime") is None:
        window_end = _time(entry.get("timestamp"), "timestamp")
    else:
        window_end = _time(payload["endTime"], "jsonPayload.endTime")
    if window_start is not None and window_start > window_end:
        raise _wrong("jsonPayload.startTime", start, "a time that is not after the window's end")
    log_entry_id = entry.get("insertId", "")
    # It goes into run tags and metadata, which not every storage takes NUL or surrogates in.
    if not isinstance(log_entry_id, str) or not log_entry_id.isprintable():
        raise _wrong("insertId", log_entry_id, "printable text")
    return DriftEvent(
        project=project,
        location=location,
        model_monitor_id=monitor,
        monitoring_job_id=job,
        objective=objective,
        anomalies=_anomalies(payload),
        window_start=window_start,
        window_end=window_end,
        log_entry_id=log_entry_id[:LONGEST_LOG_ENTRY_ID],
    )


def anomaly_log_entry(
    event: DriftEvent, *, project_id: str, receive_time: datetime
) -> dict[str, Any]:
    """Write the log entry that tells of a drift event.

    Args:
        event: the event.
        project_id: id of the project whose log holds the entry.
        receive_time: when the log received the entry, UTC.

    Returns:
        The LogEntry as JSON-ready values; `parse_log_entry` reads the event back from it.
    """
    monitor = model_monitor_name(event.project, event.location, event.model_monitor_id)
    payload: dict[str, Any] = {
        "@type": ANOMALIES_TYPE,
        "anomalyObjective": event.objective,
        "modelMonitor": monitor,
        "modelMonitoringJob": monitoring_job_name(
            event.project, event.location, event.model_monitor_id, event.monitoring_job_id
        ),
        "endTime": _rfc3339(event.window_end),
        "featureAnomalies": [
            {
                "featureDisplayName": anomaly.feature,
                "deviation": anomaly.deviation,
                **({} if anomaly.threshold is None else {"threshold": anomaly.threshold}),
            }
            for anomaly in event.anomalies
        ],
        "totalAnomaliesCount": len(event.anomalies),
    }
    if event.window_start is not None:
        payload["startTime"] = _rfc3339(event.window_start)
    return {
        "insertId": event.log_entry_id,
        "jsonPayload": payload,
        "logName": f"projects/{project_id}/logs/{LOG_ID}",
        "receiveTimestamp": _rfc3339(receive_time),
        "resource": {
            "type": MODEL_MONITOR_TYPE,
            "labels": {
                "location": event.location,
                "model_monitor_id": event.model_monitor_id,
                "resource_container": f"projects/{event.project}",
            },
        },
        "severity": "WARNING",
        "timestamp": _rfc3339(event.window_end),
    }


def _decode(body: bytes) -> Mapping[str, Any]:
    if len(body) > LARGEST_BODY:
        raise MalformedMessageError(
            RejectionReason.TOO_LARGE, f"{len(body)} bytes, more than the {LARGEST_BODY} allowed"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessageError(
            RejectionReason.NOT_UTF8, f"byte {error.start} of the body is not UTF-8"
        ) from None
    try:
        entry = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates
        )
    except MalformedMessageError:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(
            RejectionReason.NOT_JSON, f"the body is not JSON: {str(error)[:200]}"
        ) from None
    if not isinstance(entry, dict):
        raise _wrong("(body)", entry, "a JSON object")
    return entry


def _refuse_constant(constant: str) -> Any:
    raise MalformedMessageError(RejectionReason.NOT_JSON, f"{constant} is not a JSON number")


def _refuse_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedMessageError(
                    RejectionReason.NOT_JSON, f"the key {_shown(key)} stands twice in one object"
                )
            seen.add(key)
    return members


def _anomalies(payload: Mapping[str, Any]) -> tuple[FeatureAnomaly, ...]:
    items = payload.get("featureAnomalies")
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ANOMALIES:
        raise _wrong("jsonPayload.featureAnomalies", items, f"a list of 1 to {MOST_ANOMALIES}")
    return tuple(
        _anomaly(item, f"jsonPayload.featureAnomalies[{i}]") for i, item in enumerate(items)
    )


def _anomaly(item: Any, path: str) -> FeatureAnomaly:
    if not isinstance(item, dict):
        raise _wrong(path, item, "an object")
    feature = _text(item, "featureDisplayName", path)
    if len(feature) > LONGEST_FEATURE_NAME:
        raise _wrong(f"{path}.featureDisplayName", feature, "a name of at most 256 characters")
    deviation = _distance(item.get("deviation"), f"{path}.deviation")
    threshold = item.get("threshold")
    return FeatureAnomaly(
        feature, deviation, None if threshold is None else _distance(threshold, f"{path}.threshold")
    )


def _distance(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _wrong(path, value, "a number from 0 to 1")
    return float(value)


def _time(value: Any, path: str) -> datetime:
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise _wrong(path, value, "an RFC 3339 time with its offset from UTC")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedMessageError(
            RejectionReason.WRONG_SHAPE,
            f"{path} is {_shown(value)}, expected a time of the calendar: {str(error)[:120]}",
        ) from None


def _mapping(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = entry.get(key)
    if not isinstance(value, dict):
        raise _wrong(key, value, "an object")
    return value


def _text(members: Mapping[str, Any], key: str, path: str) -> str:
    value = members.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(f"{path}.{key}", value, "text")
    if _SURROGATE.search(value) is not None:
        raise _wrong(f"{path}.{key}", value, "text without half a surrogate pair")
    return value


def _wrong(path: str, value: Any, expected: str) -> MalformedMessageError:
    found = "missing" if value is None else _shown(value)
    return MalformedMessageError(
        RejectionReason.WRONG_SHAPE, f"{path} is {found}, expected {expected}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a huge number"
    return ascii(value)[:120]


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
