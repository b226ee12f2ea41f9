"""Asset: the monitoring run of each day, started at the end of the predictions."""

from collections.abc import Set

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.names import (
    JOB_NAME_METADATA,
    OWNERS,
    ModelNames,
    partition_day,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource


def build_monitoring_run(
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
        key=names.monitoring_run,
        deps=[names.predictions, names.model_monitor],
        partitions_def=partitions,
        group_name=names.monitoring_group,
        kinds=set(kinds),
        owners=OWNERS,
        description=(
            "Compares the day's transactions with the baseline. A feature above its threshold "
            "writes an anomaly log entry; the log sink passes it on to the trigger topic."
        ),
    )
    def monitoring_run(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            run = platform.open(config).start_monitoring_run(
                config, partition_day(context.partition_key)
            )
        context.log.info(f"started {run.job_name}")
        metadata = {JOB_NAME_METADATA: run.job_name}
        if run.message_id is not None:
            metadata["drift message"] = run.message_id
            context.log.warning(f"drift: message {run.message_id} published")
        return dg.MaterializeResult(metadata=metadata)

    return monitoring_run
