"""Asset: drift events. It is not computed here; the drift message sensor observes it."""

from __future__ import annotations

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.names import (
    OWNERS,
    ModelNames,
)


def build_drift_event(config: MonitoringConfig) -> dg.AssetSpec:
    """Build the asset's specification.

    Args:
        config: the monitored model.

    Returns:
        An asset without a computation: each observation tells what became of drift messages.
    """
    names = ModelNames.of(config)
    return dg.AssetSpec(
        key=names.drift_event,
        deps=[names.drift_report],
        group_name=names.monitoring_group,
        kinds={"googlecloud", "pubsub"},
        owners=OWNERS,
        description=(
            "Drift that a monitoring job found, as it arrives on the trigger subscription. Each "
            "observation says what became of it: training requested, held (and why), superseded, "
            "not drift, duplicate or dead-lettered (and why)."
        ),
    )
