"""Our configuration, not the message, decides what is ours and what is drift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from transak_drift.drift.drift_event import FeatureAnomaly
from transak_drift.trigger.log_entry import RejectionReason
from transak_drift.trigger.verification import ForeignMessageError, verify
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import drift_event

CONFIG = configuration(drift_thresholds={"description": 0.3, "type": 0.5})


def test_only_a_deviation_above_its_own_threshold_is_drift() -> None:
    event = drift_event(deviations={"description": 0.3, "type": 0.51})
    verification = verify(event, CONFIG)
    assert verification.drifted == (FeatureAnomaly("type", 0.51, 0.5),)
    assert verification.within == (FeatureAnomaly("description", 0.3, 0.3),)
    assert verification.is_drift
    next_above = drift_event(deviations={"description": 0.30000000000000004})
    assert verify(next_above, CONFIG).is_drift


def test_the_threshold_of_the_message_does_not_count() -> None:
    event = replace(drift_event(), anomalies=(FeatureAnomaly("description", 0.2, 0.01),))
    verification = verify(event, CONFIG)
    assert not verification.is_drift
    assert verification.within == (FeatureAnomaly("description", 0.2, 0.3),)
    event = replace(drift_event(), anomalies=(FeatureAnomaly("description", 0.4, 0.9),))
    assert verify(event, CONFIG).is_drift


def test_a_feature_that_is_not_monitored_is_left_out() -> None:
    event = drift_event(deviations={"merchant": 1.0, "type": 0.9})
    assert [anomaly.feature for anomaly in verify(event, CONFIG).drifted] == ["type"]


def test_a_feature_named_twice_is_one_feature_with_its_greater_deviation() -> None:
    anomalies = tuple(FeatureAnomaly("type", deviation, None) for deviation in (0.1, 0.9, 0.6))
    verification = verify(replace(drift_event(), anomalies=anomalies), CONFIG)
    assert verification.drifted == (FeatureAnomaly("type", 0.9, 0.5),)
    assert verification.within == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"objective": "RAW_FEATURE_SKEW"}, RejectionReason.NOT_DRIFT_OBJECTIVE),
        ({"objective": "raw_feature_drift"}, RejectionReason.NOT_DRIFT_OBJECTIVE),
        ({"project": "af-versicherung"}, RejectionReason.OTHER_PROJECT),
        ({"project": "af-finanzen-2"}, RejectionReason.OTHER_PROJECT),
        ({"project": "123456789"}, RejectionReason.OTHER_PROJECT),
        ({"location": "europe-west4"}, RejectionReason.OTHER_LOCATION),
        ({"model_monitor_id": "churn-monitor"}, RejectionReason.OTHER_MONITOR),
        ({"model_monitor_id": "Transak-i1-data-drift-monitor"}, RejectionReason.OTHER_MONITOR),
        (
            {"anomalies": (FeatureAnomaly("merchant", 1.0, 0.1),)},
            RejectionReason.UNKNOWN_FEATURE,
        ),
    ],
)
def test_what_is_not_ours_is_foreign(change: dict[str, Any], reason: RejectionReason) -> None:
    with pytest.raises(ForeignMessageError) as caught:
        verify(replace(drift_event(), **change), CONFIG)
    assert caught.value.reason == reason
    value = next(iter(change.values()))
    named = value[0].feature if isinstance(value, tuple) else value
    assert repr(named) in caught.value.detail
    assert str(caught.value) == f"{reason}: {caught.value.detail}"


def test_our_project_may_be_named_by_its_number() -> None:
    by_number = replace(drift_event(), project="123456789")
    config = configuration(project_number="123456789")
    assert verify(by_number, config).is_drift
    assert verify(drift_event(), config).is_drift
    with pytest.raises(ForeignMessageError, match="set project_number"):
        verify(by_number, configuration())
    with pytest.raises(ForeignMessageError, match=r"ours is 123456789 or af-finanzen$"):
        verify(replace(drift_event(), project="987654321"), config)
