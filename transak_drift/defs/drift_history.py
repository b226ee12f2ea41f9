"""Asset: the reports of all days together, and when drift of each feature began."""

from collections.abc import Set
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.metadata import table
from transak_drift.defs.names import OWNERS, PAGE_METADATA, ModelNames
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_reports import read_recorded_history
from transak_drift.drift.drift_onset import DriftStretch, onset_sentence
from transak_drift.drift.recorded_history import RecordedDay, RecordedHistory
from transak_drift.platform import PlatformError
from transak_drift.reports.history_charts import history_chart_markdown
from transak_drift.reports.history_page import drift_history_page

_READ_UNTIL_METADATA = "read until record"
MOST_DAYS = 60


def build_drift_history(config: MonitoringConfig, kinds: Set[str]) -> dg.AssetsDefinition:
    """Build the asset.

    Args:
        config: the monitored model.
        kinds: what the platform is made of, as shown in the UI.

    Returns:
        The asset definition.
    """
    names = ModelNames.of(config)

    @dg.asset(
        key=names.drift_history,
        deps=[names.drift_report, names.baseline_dataset],
        group_name=names.monitoring_group,
        kinds=set(kinds),
        owners=OWNERS,
        description=(
            "The reports of all days together: distance over the days, and when drift of each "
            "feature began. Refreshed by itself after each new report."
        ),
    )
    def drift_history(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        history = read_recorded_history(context.instance, names, list(config.drift_thresholds))
        for sentence in onset_sentences(config, history):
            context.log.info(sentence)
        return dg.MaterializeResult(metadata=_metadata(config, platform, history))

    return drift_history


def history_read_until(instance: dg.DagsterInstance, names: ModelNames) -> int:
    """Return up to which record the newest drift history has read, see `newest_record`; or 0."""
    event = instance.get_latest_materialization_event(names.drift_history)
    materialization = event.asset_materialization if event else None
    value = materialization.metadata.get(_READ_UNTIL_METADATA) if materialization else None
    return value.value or 0 if isinstance(value, dg.IntMetadataValue) else 0


def onset_sentences(config: MonitoringConfig, history: RecordedHistory) -> list[str]:
    """Tell of each monitored feature when its drift began, one sentence a feature."""
    return [
        onset_sentence(feature, history.stretches(feature)) for feature in config.drift_thresholds
    ]


def _metadata(
    config: MonitoringConfig, platform: PlatformResource, history: RecordedHistory
) -> dict[str, Any]:
    features = list(config.drift_thresholds)
    stretches = [
        (feature, stretch) for feature in features for stretch in history.stretches(feature)
    ]
    metadata: dict[str, Any] = {
        **{
            f"drift of {feature}": sentence
            for feature, sentence in zip(features, onset_sentences(config, history), strict=True)
        },
        "days with a report": len(history.days),
        "stretches": table(
            ("feature", "from", "to", "stands", "peak", "peak day", "threshold"),
            [
                _stretch_row(feature, stretch)
                for feature, stretch in sorted(
                    stretches, key=lambda item: item[1].onset.day, reverse=True
                )
            ],
        ),
        "days": table(
            ("day", *features, "verdict"),
            [_day_row(day, features) for day in reversed(history.days[-MOST_DAYS:])],
        ),
        _READ_UNTIL_METADATA: history.read_until,
    }
    if history.days:
        metadata["picture"] = dg.MetadataValue.md(history_chart_markdown(history, features))
    page = _stored_page(config, platform, history)
    if page is not None:
        metadata[PAGE_METADATA] = page
    return metadata


def _stretch_row(feature: str, stretch: DriftStretch) -> tuple[Any, ...]:
    return (
        feature,
        stretch.onset.day,
        stretch.last.day,
        "yes" if stretch.stands else "no",
        round(stretch.peak.distance or 0.0, 6),
        stretch.peak.day,
        stretch.peak.threshold,
    )


def _day_row(day: RecordedDay, features: list[str]) -> tuple[Any, ...]:
    found = [day.distances.get(feature) for feature in features]
    return (
        day.day,
        *(
            None if item is None or item.distance is None else round(item.distance, 6)
            for item in found
        ),
        day.verdict,
    )


def _stored_page(
    config: MonitoringConfig, platform: PlatformResource, history: RecordedHistory
) -> dg.MetadataValue | None:
    page = drift_history_page(config.model_name, history, list(config.drift_thresholds))
    try:
        address = platform.store_history(config, page)
    except PlatformError as error:
        # The history stands without its page.
        return dg.MetadataValue.text(f"not written: {error}")
    if address is None:
        return None
    is_address = address.startswith("https://")
    return dg.MetadataValue.url(address) if is_address else dg.MetadataValue.path(address)
