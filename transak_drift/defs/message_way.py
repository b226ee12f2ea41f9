"""Asset check: does a message come of each drift, or is the way from log to Pub/Sub broken?"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_event_log import catch_up
from transak_drift.defs.keys import DRIFT_EVENT, ModelNames
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.trigger.inbox import Inbox

CHECK_NAME = "messages_arrive"
_READING_SECONDS = 60.0


def build_message_way_check(config: MonitoringConfig) -> dg.AssetChecksDefinition:
    """Build the check of one model; the sensor evaluates it by itself as well."""
    key = ModelNames.of(config).asset(DRIFT_EVENT)

    @dg.asset_check(
        asset=key,
        name=CHECK_NAME,
        description=(
            "Of each drift that was read from a monitoring job a message came within "
            f"{config.message_grace_minutes} minutes. Drift trains all the same; without messages "
            "it trains later."
        ),
    )
    def messages_arrive(
        context: dg.AssetCheckExecutionContext, platform: PlatformResource
    ) -> dg.AssetCheckResult:
        inbox = Inbox()
        catch_up(context.instance, key, inbox, time.monotonic() + _READING_SECONDS)
        late = _late(inbox, config, datetime.now(UTC))
        return dg.AssetCheckResult(**_evaluation(late, config, platform))

    return messages_arrive


def way_checks(
    inbox: Inbox, config: MonitoringConfig, platform: PlatformResource, now: datetime
) -> list[dg.AssetCheckEvaluation]:
    """Evaluate the check where its outcome, which the inbox remembers, changes."""
    late = _late(inbox, config, now)
    if bool(late) == inbox.way_is_broken:
        return []
    inbox.way_is_broken = bool(late)
    key, found = ModelNames.of(config).asset(DRIFT_EVENT), _evaluation(late, config, platform)
    return [dg.AssetCheckEvaluation(asset_key=key, check_name=CHECK_NAME, **found)]


def _late(inbox: Inbox, config: MonitoringConfig, now: datetime) -> list[str]:
    grace = timedelta(minutes=config.message_grace_minutes)
    return [key for key, read in inbox.unannounced.items() if now - read > grace]


def _evaluation(
    late: list[str], config: MonitoringConfig, platform: PlatformResource
) -> dict[str, Any]:
    description = "a message came of the newest drift"
    metadata = {"drift events": dg.MetadataValue.text(", ".join(late[-20:]) or "none")}
    if late:
        description = (
            f"the way from log to Pub/Sub is broken: of {len(late)} drift event(s), {late[-1]} the "
            f"newest, no message came within {config.message_grace_minutes} minutes. The training "
            "goes on without; look at the sink's filter, its writer's right to publish and the "
            "notification channel, or run transak-drift doctor"
        )
        entry = platform.newest_anomaly_entry(config)
        if entry is not None:
            metadata["newest log entry"] = dg.MetadataValue.json(entry)
    return {
        "passed": not late,
        "severity": dg.AssetCheckSeverity.WARN,
        "description": description,
        "metadata": metadata,
    }
