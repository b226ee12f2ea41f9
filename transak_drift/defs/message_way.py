"""Asset check: does a message come of each drift, or is the way from log to Pub/Sub broken?"""

import time
from datetime import UTC, datetime, timedelta

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
        return dg.AssetCheckResult(
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            description=_description(late, config),
            metadata=_metadata(late, config, platform),
        )

    return messages_arrive


def way_checks(
    inbox: Inbox,
    config: MonitoringConfig,
    platform: PlatformResource,
    now: datetime,
) -> list[dg.AssetCheckEvaluation]:
    """Evaluate the check where its outcome changes: once when messages stay away, once after.

    Args:
        inbox: the model's inbox, which remembers the outcome.
        config: the monitored model.
        platform: may read the entry's true shape from the log.
        now: the present time, UTC.
    """
    key = ModelNames.of(config).asset(DRIFT_EVENT)
    late = _late(inbox, config, now)
    if bool(late) == inbox.way_is_broken:
        return []
    inbox.way_is_broken = bool(late)
    return [
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=CHECK_NAME,
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            description=_description(late, config),
            metadata=_metadata(late, config, platform),
        )
    ]


def _late(inbox: Inbox, config: MonitoringConfig, now: datetime) -> list[str]:
    grace = timedelta(minutes=config.message_grace_minutes)
    return [key for key, read in inbox.unannounced.items() if now - read > grace]


def _description(late: list[str], config: MonitoringConfig) -> str:
    if not late:
        return "a message came of the newest drift"
    return (
        f"the way from log to Pub/Sub is broken: of {len(late)} drift event(s), {late[-1]} the "
        f"newest, no message came within {config.message_grace_minutes} minutes. The training "
        "goes on without; look at the sink's filter, its writer's right to publish and the "
        "notification channel, or run transak-drift doctor"
    )


def _metadata(
    late: list[str], config: MonitoringConfig, platform: PlatformResource
) -> dict[str, dg.MetadataValue]:
    entry = platform.newest_anomaly_entry(config) if late else None
    shape = {} if entry is None else {"newest log entry": dg.MetadataValue.json(entry)}
    return {"drift events": dg.MetadataValue.text(", ".join(late[-20:]) or "none"), **shape}
