"""The histories of one model: of drift and of versions, and the sensor that refreshes both."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import Kinds, ModelNames
from transak_drift.defs.metadata import as_failure, newest_materialization, page_metadata, table
from transak_drift.defs.model_history import model_history_asset
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_reports import newest_record, read_drift_history
from transak_drift.defs.recorded_windows import require_same_windows
from transak_drift.drift.drift_history import DriftHistory, RecordedWindow
from transak_drift.reports.charts import history_picture
from transak_drift.reports.pages import drift_history_page

SENSOR_NAME = "drift_history_sensor"
MAX_WINDOWS = 60

# Nobody waits for the history: many reports in a row are one refresh.
MIN_INTERVAL_SECONDS = 60

# A run whose process was killed may seem to run for ever.
_MAX_RUN_AGE = timedelta(hours=1)
_READ_UNTIL_METADATA = "read until record"


def history_definitions(
    config: MonitoringConfig, kinds: Kinds, interval_seconds: int
) -> dg.Definitions:
    """Build the drift history of a model, and the sensor that refreshes it.

    The sensor needs no cursor: the history records up to which record it has read. An automation
    condition would miss a report that was recorded before its first tick.
    """
    names = ModelNames.of(config)

    @dg.asset(
        key=names.asset(keys.DRIFT_HISTORY),
        deps=[names.asset(keys.DRIFT_REPORT), names.asset(keys.BASELINE_DATASET)],
        **names.grouped(keys.MONITORING_GROUP, kinds),
        description=(
            "The reports of all windows together: distance over time, and when drift of each "
            "feature began. Refreshed by itself after each new report."
        ),
    )
    def drift_history(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            require_same_windows(context.instance, config)
        history = read_drift_history(context.instance, names)
        context.log.info("; ".join(map(history.summary, config.thresholds)))
        return dg.MaterializeResult(metadata=_metadata(config, platform, history))

    models = model_history_asset(config, kinds)
    job = dg.define_asset_job(
        names.name(keys.DRIFT_HISTORY_JOB),
        selection=[drift_history, models],
        description="Puts the reports of all windows and the versions of the model together.",
    )

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        job=job,
        minimum_interval_seconds=max(interval_seconds, MIN_INTERVAL_SECONDS),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes drift_history once there is a newer report or baseline.",
    )
    def drift_history_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        newest = newest_record(context.instance, names)
        if newest <= history_read_until(context.instance, names):
            return dg.SkipReason("the history has each report")
        running = context.instance.get_runs_count(
            dg.RunsFilter(
                job_name=keys.window_job(config),
                statuses=[dg.DagsterRunStatus.STARTED],
                created_after=datetime.now(UTC) - _MAX_RUN_AGE,
            )
        )
        if running:
            return dg.SkipReason(f"{running} run(s) monitor windows; their reports follow")
        return dg.RunRequest(run_key=f"{names.name(keys.DRIFT_HISTORY)}-{newest}")

    return dg.Definitions(
        assets=[drift_history, models], jobs=[job], sensors=[drift_history_sensor]
    )


def history_read_until(instance: dg.DagsterInstance, names: ModelNames) -> int:
    """Return up to which record the newest drift history has read, see `newest_record`; or 0."""
    materialization = newest_materialization(instance, names.asset(keys.DRIFT_HISTORY))
    value = materialization.metadata.get(_READ_UNTIL_METADATA) if materialization else None
    return value.value or 0 if isinstance(value, dg.IntMetadataValue) else 0


def _metadata(
    config: MonitoringConfig, platform: PlatformResource, history: DriftHistory
) -> dict[str, Any]:
    features = list(config.thresholds)
    page = drift_history_page(config.model_name, history, features)
    episodes = [
        (
            feature,
            it.onset.window.key,
            it.last.window.key,
            it.ongoing,
            str(it.peak),
            it.peak.window.key,
        )
        for feature in features
        for it in history.episodes(feature)
    ]
    metadata: dict[str, Any] = {
        **{f"drift of {feature}": history.summary(feature) for feature in features},
        "windows with a report": len(history.windows),
        "drift episodes": table(
            ("feature", "from", "to", "ongoing", "peak", "peak window"),
            sorted(episodes, key=lambda row: row[1], reverse=True),
        ),
        "windows": table(
            ("window", *features, "verdict"),
            [_row(recorded, features) for recorded in reversed(history.windows[-MAX_WINDOWS:])],
        ),
        _READ_UNTIL_METADATA: history.read_until,
        **page_metadata(lambda: platform.store_history(config, page)),
    }
    if history.windows:
        metadata["picture"] = dg.MetadataValue.md(history_picture(history, features))
    return metadata


def _row(recorded: RecordedWindow, features: list[str]) -> tuple[Any, ...]:
    found = [recorded.feature(feature) for feature in features]
    distances = (item and item.distance for item in found)
    return (recorded.window.key, *distances, recorded.result.verdict)
