"""Asset: the bank transactions of each day."""

from collections.abc import Set
from typing import Any

import dagster as dg

from transak_drift.assets.names import DATA_GROUP, OWNERS, TRANSACTIONS, partition_day
from transak_drift.assets.platform_errors import as_failure
from transak_drift.core.config import MonitoringConfig
from transak_drift.resources.platform_resource import PlatformResource


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

    @dg.asset(
        key=TRANSACTIONS,
        partitions_def=partitions,
        group_name=DATA_GROUP,
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
            landed = platform.open().land_transactions(config, partition_day(context.partition_key))
        metadata: dict[str, Any] = {"location": dg.MetadataValue.path(landed.uri)}
        if landed.rows is not None:
            metadata["dagster/row_count"] = landed.rows
        return dg.MaterializeResult(metadata=metadata)

    return transactions
