"""Asset: drift events. It is not computed here; the drift message sensor observes it."""

from __future__ import annotations

import dagster as dg

from transak_drift.assets.names import DRIFT_EVENT, DRIFT_REPORT, MONITORING_GROUP, OWNERS


def build_drift_event() -> dg.AssetSpec:
    """Build the asset's specification.

    Returns:
        An asset without a computation: each observation tells what became of drift messages.
    """
    return dg.AssetSpec(
        key=DRIFT_EVENT,
        deps=[DRIFT_REPORT],
        group_name=MONITORING_GROUP,
        kinds={"googlecloud", "pubsub"},
        owners=OWNERS,
        description=(
            "Drift that a monitoring job found, as it arrives on the trigger subscription. Each "
            "observation says what became of it: training requested, held (and why), superseded, "
            "not drift, duplicate or dead-lettered (and why)."
        ),
    )
