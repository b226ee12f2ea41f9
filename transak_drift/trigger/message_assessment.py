"""What one message asks for: parse and verify, for the sensor and the Cloud Function alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.trigger.log_entry import MalformedMessageError, RejectionReason, parse_log_entry
from transak_drift.trigger.verification import ForeignMessageError, Verification, verify

# An attribute of a Pub/Sub message holds 1024 bytes ("Pub/Sub quotas and limits").
LONGEST_DETAIL = 1_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message belongs in the dead-letter topic.

    Args:
        reason: the kind of fault.
        detail: the field, its value and what was expected, in at most 1000 ASCII characters.
    """

    reason: RejectionReason
    detail: str


@dataclass(frozen=True, slots=True)
class NotDrift:
    """The message is ours, but no monitored feature is above its configured threshold.

    Args:
        event: the event, with the configured threshold in each monitored feature.
    """

    event: DriftEvent


@dataclass(frozen=True, slots=True)
class Drift:
    """The message is true drift of our model.

    Args:
        event: the event with the drifted features alone, each with its configured threshold.
    """

    event: DriftEvent


Assessment = Rejected | NotDrift | Drift


def assess_message(body: bytes, *configs: MonitoringConfig) -> Assessment:
    """Parse and verify a message; never raises for any input.

    Args:
        body: the message's data.
        configs: the configurations of the models that share the subscription, at least one. The
            monitor that the message names decides which of them it is held against.

    Returns:
        What the message asks for.
    """
    try:
        event = parse_log_entry(body)
        verification = _verify_for_owner(event, configs)
    except (MalformedMessageError, ForeignMessageError) as error:
        return Rejected(error.reason, _as_attribute(error.detail))
    if verification.is_drift:
        return Drift(replace(event, anomalies=verification.drifted))
    return NotDrift(replace(event, anomalies=verification.within))


def _verify_for_owner(event: DriftEvent, configs: Sequence[MonitoringConfig]) -> Verification:
    owner = next((c for c in configs if c.model_monitor_id == event.model_monitor_id), configs[0])
    try:
        return verify(event, owner)
    except ForeignMessageError as error:
        if error.reason != RejectionReason.OTHER_MONITOR or len(configs) == 1:
            raise
        ours = " or ".join(sorted(config.model_monitor_id for config in configs))
        raise ForeignMessageError(
            error.reason,
            f"jsonPayload.modelMonitoringJob names {event.model_monitor_id!r}, ours is {ours}",
        ) from None


def _as_attribute(detail: str) -> str:
    text = "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in detail)
    return text if len(text) <= LONGEST_DETAIL else f"{text[: LONGEST_DETAIL - 3]}..."
