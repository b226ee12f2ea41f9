"""Asset: the bank transactions of each day."""

from collections.abc import Set
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.names import (
    OWNERS,
    ModelNames,
    partition_day,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource


def build_transactions(
    config: MonitoringConfig, partitions: dg.DailyPartitionsDefinition, kinds: Set[str]
) -> dg.AssetsDefinition:
    """Build the asset.

    Args:
        config: the monitored model.
        partitions: the monitored days.
        kinds: what the platform is made of, as shown in the UI.

    Returns:
        The asset definition.
    """
    names = ModelNames.of(config)

    @dg.asset(
        key=names.transactions,
        partitions_def=partitions,
        group_name=names.data_group,
        kinds=set(kinds),
        owners=OWNERS,
        description=(
            "The day's bank transactions: your own Parquet or CSV where `transactions` is set, "
            "otherwise synthetic Swiss and Austrian transactions from a seeded generator."
        ),
    )
    def transactions(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            landed = platform.open(config).land_transactions(
                config, partition_day(context.partition_key)
            )
        metadata: dict[str, Any] = {"location": dg.MetadataValue.path(landed.uri)}
        if landed.rows is not None:
            metadata["dagster/row_count"] = landed.rows
        return dg.MaterializeResult(metadata=metadata)

    return transactions
