"""Is a parsed message about our monitor, and is it true drift by our own thresholds?"""

from __future__ import annotations

from dataclasses import dataclass

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DRIFT_OBJECTIVE, DriftEvent, FeatureAnomaly
from transak_drift.trigger.log_entry import RejectionReason


class ForeignMessageError(ValueError):
    """A well-formed message that is not about drift of our model.

    Args:
        reason: which part is not ours.
        detail: the field, its value and what it should be.
    """

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class Verification:
    """What the configured thresholds say of an event.

    Args:
        drifted: the monitored features above their configured threshold, which is set in each.
        within: the monitored features at or below it.
    """

    drifted: tuple[FeatureAnomaly, ...]
    within: tuple[FeatureAnomaly, ...]

    @property
    def is_drift(self) -> bool:
        """Whether at least one monitored feature is above its threshold."""
        return bool(self.drifted)


def verify(event: DriftEvent, config: MonitoringConfig) -> Verification:
    """Hold an event against the configuration.

    Args:
        event: the parsed event.
        config: the configuration; its thresholds count, not those of the message.

    Returns:
        The features that drifted and those that did not. A feature without a threshold in the
        configuration is left out; of a feature named twice the greater deviation counts.

    Raises:
        ForeignMessageError: the objective is not drift, or project, location, monitor or every
            feature is another's.
    """
    if event.objective != DRIFT_OBJECTIVE:
        raise ForeignMessageError(
            RejectionReason.NOT_DRIFT_OBJECTIVE,
            f"jsonPayload.anomalyObjective is {event.objective[:80]!a}, not {DRIFT_OBJECTIVE}",
        )
    own_projects = {config.project_id, config.project_number} - {None}
    hint = (
        "; set project_number in the configuration if that is ours"
        if event.project.isdigit() and config.project_number is None
        else ""
    )
    for reason, found, expected, advice in (
        (RejectionReason.OTHER_PROJECT, event.project, own_projects, hint),
        (RejectionReason.OTHER_LOCATION, event.location, {config.location}, ""),
        (RejectionReason.OTHER_MONITOR, event.model_monitor_id, {config.model_monitor_id}, ""),
    ):
        if found not in expected:
            raise ForeignMessageError(
                reason,
                f"jsonPayload.modelMonitoringJob names {found!r}, ours is "
                f"{' or '.join(sorted(str(name) for name in expected))}{advice}",
            )
    judged: dict[str, FeatureAnomaly] = {}
    for anomaly in event.anomalies:
        threshold = config.drift_thresholds.get(anomaly.feature)
        known = judged.get(anomaly.feature)
        # A feature named twice is one feature: the policy counts features.
        if threshold is not None and (known is None or anomaly.deviation > known.deviation):
            judged[anomaly.feature] = FeatureAnomaly(anomaly.feature, anomaly.deviation, threshold)
    if not judged:
        named = ", ".join(ascii(anomaly.feature[:80]) for anomaly in event.anomalies[:5])
        raise ForeignMessageError(
            RejectionReason.UNKNOWN_FEATURE,
            f"no threshold is configured for {named}; add one to drift_thresholds if it is yours",
        )
    above = {
        name
        for name, anomaly in judged.items()
        if anomaly.deviation > config.drift_thresholds[name]
    }
    return Verification(
        drifted=tuple(anomaly for name, anomaly in judged.items() if name in above),
        within=tuple(anomaly for name, anomaly in judged.items() if name not in above),
    )
