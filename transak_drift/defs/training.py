"""Training of one model: the champion, the challenger, and the baseline of the next windows.

Not here: when a training is due (`drift_message_sensor`), and how one is done (the platforms).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import Kinds, ModelNames
from transak_drift.defs.metadata import as_failure, page_metadata, table
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.platform import TrainingRequest, TrainingResult
from transak_drift.reports.links import asset_partition_page
from transak_drift.reports.model_charts import model_picture
from transak_drift.reports.pages import model_page
from transak_drift.training.promotion import Comparison

MONITOR_CHECK = "monitor_follows_model"


class TrainingConfig(dg.Config):
    """What a retrain run is for. A person who starts one leaves both fields as they are."""

    drift_event: str = Field(
        default="",
        description=(
            "Key of the drift event that is answered, `<monitor id>/<job id>`. The trigger fills "
            "it in; an event that was trained before is not trained again. Empty: a training of "
            "your own."
        ),
    )
    window_end: str = Field(
        default="",
        description=(
            "Train on data up to this time, ISO 8601, for example 2026-05-01T00:00Z. Empty: up to "
            "now."
        ),
    )


def retrain_job(config: MonitoringConfig) -> dg.JobDefinition:
    """Return the job that trains a challenger and, if it is not worse, promotes it."""
    names = ModelNames.of(config)
    job = dg.define_asset_job(
        names.name(keys.RETRAIN_JOB),
        selection=[names.asset(keys.TRAINED_MODEL), names.asset(keys.BASELINE_DATASET)],
        # What a person finds in the launchpad, in place of every setting of the resources.
        config=dg.RunConfig(ops={names.name(keys.TRAIN_OPERATION): TrainingConfig()}),
        description=(
            "Trains a challenger on fresh data; promoted, its data are the new baseline. To train "
            "by hand leave the configuration as it is."
        ),
    )
    # Its own type has no public name; Dagster takes it wherever it takes a JobDefinition.
    return cast("dg.JobDefinition", job)


def training_assets(model: MonitoringConfig, kinds: Kinds) -> list[dg.AssetsDefinition]:
    """Build the assets of a model's training."""
    names = ModelNames.of(model)
    shared = names.grouped(keys.TRAINING_GROUP, kinds)

    @dg.asset(
        key=names.asset(keys.REGISTERED_MODEL),
        **shared,
        description=(
            f"The version of {model.model_name} that predicts. On the local platform the first "
            "materialization trains version 1 and makes its training data the first baseline; on "
            "gcp the model is found by its name."
        ),
    )
    def registered_model(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            found = platform.open(model).ensure_registered_model(model)
        context.log.info(found.detail)
        metadata: dict[str, Any] = {
            "model": model.model_name,
            "version": found.version or "none",
            "created by this run": found.created,
            "detail": found.detail,
            **{name: float(value) for name, value in found.metrics.items()},
        }
        if found.trained_until is not None:
            metadata[keys.TRAINED_UNTIL_METADATA] = dg.MetadataValue.timestamp(found.trained_until)
        return dg.MaterializeResult(metadata=metadata)

    @dg.multi_asset(
        name=names.name(keys.TRAIN_OPERATION),
        specs=[
            dg.AssetSpec(
                names.asset(keys.TRAINED_MODEL),
                deps=[names.asset(keys.DRIFT_EVENT), names.asset(keys.TRANSACTIONS)],
                **shared,
                description=(
                    "A challenger trained on fresh data. It replaces the champion only if it is "
                    "not worse on held-out rows, recent and historical. Each drift event trains "
                    "once."
                ),
            ),
            dg.AssetSpec(
                names.asset(keys.BASELINE_DATASET),
                deps=[names.asset(keys.TRAINED_MODEL)],
                **shared,
                skippable=True,
                description=(
                    "The data that the champion learned from: what the next windows are compared "
                    "with. It changes only when a challenger is promoted."
                ),
            ),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                MONITOR_CHECK,
                asset=names.asset(keys.TRAINED_MODEL),
                description="The version that predicts is the one that is monitored.",
            )
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
            result = platform.open(model).train(model, request, context.log.info)
        context.log.info(result.reason)
        yield dg.MaterializeResult(
            names.asset(keys.TRAINED_MODEL),
            metadata=_trained_metadata(model, platform, result, request),
            check_results=[
                dg.AssetCheckResult(
                    check_name=MONITOR_CHECK,
                    passed=not result.warnings,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(result.warnings) or None,
                )
            ],
        )
        if result.promoted:
            metadata = {"model version": result.version, **_data_metadata(result)}
            if result.training_rows is not None:
                metadata["dagster/row_count"] = result.training_rows
            yield dg.MaterializeResult(names.asset(keys.BASELINE_DATASET), metadata=metadata)

    return [registered_model, train]


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


def _trained_metadata(
    model: MonitoringConfig,
    platform: PlatformResource,
    result: TrainingResult,
    request: TrainingRequest,
) -> dict[str, Any]:
    evaluation = [
        (name, value, result.champion_metrics.get(name)) for name, value in result.metrics.items()
    ]
    metadata: dict[str, Any] = {
        "version": result.version,
        "promoted": result.promoted,
        "reason": result.reason,
        "champion before": result.champion_before or "none",
        "champion after": result.champion_after,
        "adopted": result.adopted,
        "drift event": request.drift_event_key or "none: started by a person",
        **_data_metadata(result),
        "training rows": result.training_rows,
        "evaluation": table(("metric", "challenger", "champion"), evaluation),
        **{name: float(value) for name, value in result.metrics.items()},
        **page_metadata(
            lambda: platform.store_model(model, result.version, _page(model, result, request))
        ),
    }
    if result.comparison is not None:
        metadata |= _comparison_metadata(result.comparison)
    if result.warnings:
        metadata["warnings"] = "; ".join(result.warnings)
    if result.console_url:
        metadata["console"] = dg.MetadataValue.url(result.console_url)
    if request.drift_event_key is not None:
        window, report = model.windows.ending_at(request.window_end), keys.DRIFT_REPORT
        page = asset_partition_page(ModelNames.of(model).asset(report).path, window.key)
        metadata["drift report"] = dg.MetadataValue.url(page)
    return metadata


def _page(model: MonitoringConfig, result: TrainingResult, request: TrainingRequest) -> str:
    first, last = result.training_days
    rows = "" if result.training_rows is None else f", {result.training_rows:,} rows"
    return model_page(
        model.model_name,
        result.version,
        result.comparison,
        {
            "trained on": f"{first} to {last}{rows}",
            "for": request.drift_event_key or "no drift event: started by a person",
        },
        promoted=result.promoted,
        reasons=result.comparison.reasons if result.comparison else [result.reason],
        champion=result.champion_before,
    )


def _comparison_metadata(comparison: Comparison) -> dict[str, Any]:
    metadata: dict[str, Any] = {"picture": dg.MetadataValue.md(model_picture(comparison))}
    for found in comparison.sets:
        metadata[f"{found.name} rows"] = found.summary()
        metadata[f"classes on {found.name} rows"] = table(
            ("class", "rows", "precision", "recall", "F1", "champion's F1", "difference"),
            [
                (
                    item.label,
                    item.rows,
                    item.challenger.precision,
                    item.challenger.recall,
                    item.challenger.f1,
                    item.champion.f1 if item.champion else None,
                    str(item.difference) if item.difference else None,
                )
                for item in found.classes
            ],
        )
    return metadata


def _data_metadata(result: TrainingResult) -> dict[str, Any]:
    return {
        "first day": str(result.training_days[0]),
        keys.LAST_DAY_METADATA: str(result.training_days[1]),
        keys.TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(result.trained_until),
    }
