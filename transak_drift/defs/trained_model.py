"""Assets: the retrained model, and the baseline that its training data become."""

from collections.abc import Iterator, Set
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.metadata import table
from transak_drift.defs.names import (
    OWNERS,
    TRAINED_UNTIL_METADATA,
    ModelNames,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.drift.drift_event import last_day
from transak_drift.platform import TrainingRequest, TrainingResult
from transak_drift.reports.links import asset_partition_page


class TrainingConfig(dg.Config):
    """What a retrain run is for; empty fields mean a training that a person started."""

    drift_event: str = Field(default="", description="Key of the drift event that is answered.")
    window_end: str = Field(
        default="", description="End of the window that drifted, ISO 8601; by default now."
    )


def build_trained_model(config: MonitoringConfig, kinds: Set[str]) -> dg.AssetsDefinition:
    """Build both assets, which one run makes.

    Args:
        config: the monitored model.
        kinds: what the platform is made of, as shown in the UI.

    Returns:
        The assets definition.
    """

    monitoring_config = config
    names = ModelNames.of(config)

    @dg.multi_asset(
        name=names.train_operation,
        specs=[
            dg.AssetSpec(
                names.trained_model,
                deps=[names.drift_event, names.transactions],
                group_name=names.training_group,
                kinds=set(kinds),
                owners=OWNERS,
                description=(
                    "A challenger trained on fresh data. It replaces the champion only if it is "
                    "not worse on held-out recent data. Each drift event trains once."
                ),
            ),
            dg.AssetSpec(
                names.baseline_dataset,
                deps=[names.trained_model],
                group_name=names.training_group,
                kinds=set(kinds),
                owners=OWNERS,
                skippable=True,
                description=(
                    "The data that the champion learned from: what the next days are compared "
                    "with. It changes only when a challenger is promoted."
                ),
            ),
        ],
    )
    def train(
        context: dg.AssetExecutionContext, config: TrainingConfig, platform: PlatformResource
    ) -> Iterator[dg.MaterializeResult]:
        request = TrainingRequest(
            drift_event_key=config.drift_event or None,
            window_end=_window_end(config.window_end),
            run_id=context.run.run_id,
        )
        with as_failure():
            result = platform.open(monitoring_config).train(
                monitoring_config, request, context.log.info
            )
        context.log.info(result.reason)
        yield dg.MaterializeResult(
            names.trained_model,
            metadata={**_model_metadata(result, request), **_report_link(names, request)},
        )
        if result.promoted:
            yield dg.MaterializeResult(
                names.baseline_dataset,
                metadata={
                    "model version": result.version,
                    "first day": str(result.training_days[0]),
                    "last day": str(result.training_days[1]),
                    **(
                        {}
                        if result.training_rows is None
                        else {"dagster/row_count": result.training_rows}
                    ),
                    TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(result.trained_until),
                },
            )

    return train


def _window_end(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise dg.Failure(
            description=f"window_end is {text!r}, not an ISO 8601 time such as 2026-05-01T00:00Z",
            allow_retries=False,
        ) from error


def _report_link(names: ModelNames, request: TrainingRequest) -> dict[str, dg.MetadataValue]:
    """Link back to the report of the drift that is answered."""
    if request.drift_event_key is None:
        return {}
    day = last_day(request.window_end)
    page = asset_partition_page(names.drift_report.path, str(day))
    return {"drift report": dg.MetadataValue.url(page)}


def _model_metadata(result: TrainingResult, request: TrainingRequest) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "version": result.version,
        "promoted": result.promoted,
        "reason": result.reason,
        "champion before": result.champion_before or "none",
        "champion after": result.champion_after,
        "adopted": result.adopted,
        "drift event": request.drift_event_key or "none: started by a person",
        "first day": str(result.training_days[0]),
        "last day": str(result.training_days[1]),
        TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(result.trained_until),
        "training rows": result.training_rows,
        "evaluation": table(
            ("metric", "challenger", "champion"),
            [
                (name, value, result.champion_metrics.get(name))
                for name, value in result.metrics.items()
            ],
        ),
        **{name: float(value) for name, value in result.metrics.items()},
    }
    if result.console_url:
        metadata["console"] = dg.MetadataValue.url(result.console_url)
    return metadata
