"""Asset: the model that predicts at present, as the model registry has it."""

from collections.abc import Set
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.names import (
    OWNERS,
    ModelNames,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource


def build_registered_model(config: MonitoringConfig, kinds: Set[str]) -> dg.AssetsDefinition:
    """Build the asset.

    Args:
        config: the monitored model.
        kinds: what the platform is made of, as shown in the UI.

    Returns:
        The asset definition.
    """
    names = ModelNames.of(config)

    @dg.asset(
        key=names.registered_model,
        group_name=names.training_group,
        kinds=set(kinds),
        owners=OWNERS,
        description=(
            f"The version of {config.model_name} that predicts. On the local platform the first "
            "materialization trains version 1 and makes its training data the first baseline; on "
            "gcp the model is found by its name."
        ),
    )
    def registered_model(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            model = platform.open(config).ensure_registered_model(config)
        context.log.info(model.detail)
        metadata: dict[str, Any] = {
            "model": config.model_name,
            "version": model.version or "none",
            "created by this run": model.created,
            "detail": model.detail,
            **{name: float(value) for name, value in model.metrics.items()},
        }
        if model.trained_until is not None:
            metadata["trained until"] = dg.MetadataValue.timestamp(model.trained_until)
        return dg.MaterializeResult(metadata=metadata)

    return registered_model
