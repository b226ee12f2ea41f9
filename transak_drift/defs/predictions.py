"""Asset: the category that the present model predicts for each transaction of a day."""

from collections.abc import Set
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.metadata import table
from transak_drift.defs.names import (
    OWNERS,
    ModelNames,
    partition_day,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource


def build_predictions(
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
        key=names.predictions,
        deps=[names.transactions, names.registered_model],
        partitions_def=partitions,
        group_name=names.data_group,
        kinds=set(kinds),
        owners=OWNERS,
        description="The day's transactions with the category that the present model predicts.",
    )
    def predictions(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            predicted = platform.open(config).predict(config, partition_day(context.partition_key))
        if predicted.model_version is None:
            context.log.warning(
                f"no model could be trained without the label column {config.label_column!r}: the "
                "transactions are monitored without predictions"
            )
        metadata: dict[str, Any] = {
            "location": dg.MetadataValue.path(predicted.dataset.uri),
            "model version": predicted.model_version or "none",
            "categories": table(
                ("category", "transactions"), list(predicted.category_counts.items())
            ),
        }
        if predicted.dataset.rows is not None:
            metadata["dagster/row_count"] = predicted.dataset.rows
        return dg.MaterializeResult(metadata=metadata)

    return predictions
