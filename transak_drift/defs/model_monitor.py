"""Asset: the ModelMonitor, as the configuration says it should be."""

from collections.abc import Set

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.metadata import table
from transak_drift.defs.names import (
    OWNERS,
    ModelNames,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.platform import AppliedModelMonitor


def build_model_monitor(config: MonitoringConfig, kinds: Set[str]) -> dg.AssetsDefinition:
    """Build the asset.

    Args:
        config: the configuration to apply.
        kinds: what the platform is made of, as shown in the UI.

    Returns:
        The asset definition.
    """
    names = ModelNames.of(config)

    @dg.asset(
        key=names.model_monitor,
        deps=[names.registered_model],
        group_name=names.monitoring_group,
        kinds=set(kinds),
        owners=OWNERS,
        description=(
            "The monitoring configuration as applied. Materializing it twice changes nothing; "
            "after a change of the file it updates the ModelMonitor and shows the difference."
        ),
    )
    def model_monitor(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            applied = platform.open(config).apply_model_monitor(config)
        action = _action(applied)
        context.log.info(f"{applied.resource_name}: {action}")
        return dg.MaterializeResult(
            metadata={
                "resource name": applied.resource_name,
                "action": action,
                "changed settings": len(applied.changes),
                "changes": table(
                    ("setting", "before", "after"),
                    [
                        (change.path, _shown(change.before), _shown(change.after))
                        for change in applied.changes
                    ],
                ),
                "thresholds": table(
                    ("feature", "threshold"), list(config.drift_thresholds.items())
                ),
                "log anomalies": config.log_anomalies,
                "notification channels": len(config.notification_channels),
                "mailed addresses": len(config.user_emails),
            }
        )

    return model_monitor


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _action(applied: AppliedModelMonitor) -> str:
    if applied.created:
        return "created"
    return "updated" if applied.changes else "unchanged"
