"""What one message asks for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from transak_drift.drift.drift_event import FeatureAnomaly
from transak_drift.trigger.log_entry import RejectionReason
from transak_drift.trigger.message_assessment import (
    LONGEST_DETAIL,
    Drift,
    NotDrift,
    Rejected,
    assess_message,
)
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import drift_event, message_body

CONFIG = configuration(drift_thresholds={"description": 0.3, "type": 0.5})
REJECTED = [
    (b"\xff", RejectionReason.NOT_UTF8),
    (b"no json", RejectionReason.NOT_JSON),
    (b"{}", RejectionReason.WRONG_SHAPE),
    (b" " * 2_000_000, RejectionReason.TOO_LARGE),
    (
        message_body(replace(drift_event(), project="af-versicherung")),
        RejectionReason.OTHER_PROJECT,
    ),
    (
        message_body(replace(drift_event(), location="europe-west4")),
        RejectionReason.OTHER_LOCATION,
    ),
    (
        message_body(replace(drift_event(), model_monitor_id="churn")),
        RejectionReason.OTHER_MONITOR,
    ),
    (
        message_body(replace(drift_event(), objective="RAW_FEATURE_SKEW")),
        RejectionReason.NOT_DRIFT_OBJECTIVE,
    ),
    (
        message_body(drift_event(deviations={"merchant": 0.9})),
        RejectionReason.UNKNOWN_FEATURE,
    ),
]


def test_drift_keeps_the_drifted_features_alone() -> None:
    event = drift_event(deviations={"description": 0.6, "type": 0.4, "merchant": 1.0})
    assert assess_message(message_body(event), CONFIG) == Drift(
        replace(event, anomalies=(FeatureAnomaly("description", 0.6, 0.3),))
    )


def test_no_drift_keeps_the_monitored_features_with_our_thresholds() -> None:
    event = drift_event(deviations={"description": 0.3, "type": 0.4, "merchant": 1.0})
    expected = (FeatureAnomaly("description", 0.3, 0.3), FeatureAnomaly("type", 0.4, 0.5))
    assert assess_message(message_body(event), CONFIG) == NotDrift(
        replace(event, anomalies=expected)
    )


@pytest.mark.parametrize(("body", "reason"), REJECTED)
def test_every_reason_reaches_the_rejection(body: bytes, reason: RejectionReason) -> None:
    assessment = assess_message(body, CONFIG)
    assert isinstance(assessment, Rejected)
    assert assessment.reason == reason
    assert assessment.detail


def test_every_reason_is_tested() -> None:
    assert {reason for _, reason in REJECTED} == set(RejectionReason)


def test_a_detail_fits_the_attribute_of_a_dead_letter() -> None:
    names = {f"{i}{'😀' * 200}": 0.9 for i in range(50)}
    assessment = assess_message(message_body(drift_event(deviations=names)), CONFIG)
    assert isinstance(assessment, Rejected)
    assert assessment.detail.isascii()
    assert len(assessment.detail) == LONGEST_DETAIL
    assert assessment.detail.endswith("...")
    entry = json.loads(message_body(drift_event()))
    entry["jsonPayload"]["modelMonitoringJob"] = "😀" * 10_000
    assessment = assess_message(json.dumps(entry).encode(), CONFIG)
    assert isinstance(assessment, Rejected)
    assert len(assessment.detail.encode()) <= LONGEST_DETAIL


def test_the_named_monitor_decides_whose_thresholds_count() -> None:
    ours = configuration()
    theirs = configuration(
        model_name="transak-i2-train-model",
        monitoring_job_display_name="transak_i2_data_drift_monitor",
        drift_thresholds={"description": 0.7},
    )
    event = drift_event(deviations={"description": 0.6})
    assert isinstance(assess_message(message_body(event), theirs, ours), Drift)
    other = replace(event, model_monitor_id=theirs.model_monitor_id)
    assert isinstance(assess_message(message_body(other), ours, theirs), NotDrift)

    foreign = replace(event, model_monitor_id="somebody-elses")
    rejected = assess_message(message_body(foreign), ours, theirs)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == RejectionReason.OTHER_MONITOR
    assert ours.model_monitor_id in rejected.detail
    assert theirs.model_monitor_id in rejected.detail
