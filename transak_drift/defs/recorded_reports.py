"""What `drift_report` records of a monitoring run, and how it is read back.

The result is one JSON value beside what people read, so that neither tables nor labels are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    PAGE_METADATA,
    TRAINED_UNTIL_METADATA,
    ModelNames,
    check_names,
    partition_day,
)
from transak_drift.defs.metadata import SHOWN_DIGITS, feature_table, page_metadata, table
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.drift.drift_history import DriftHistory, Promotion, RecordedDay
from transak_drift.drift.monitoring_result import (
    NO_BOOKINGS,
    FeatureDrift,
    MonitoringResult,
    comparison,
)
from transak_drift.reports.charts import result_picture
from transak_drift.reports.pages import drift_report_page

RESULT_METADATA = "result"

# A record holds the picture of its day: few at a time bound the memory.
_RECORDS_PER_QUERY = 100
_THRESHOLD_LABEL = " threshold"
_DISTANCE_LABEL = " distance"


def report_metadata(
    config: MonitoringConfig, platform: PlatformResource, result: MonitoringResult
) -> dict[str, Any]:
    """Return the metadata of a report, and store its page; the same on every platform.

    Args:
        config: the monitored model.
        platform: keeps the page.
        result: the monitoring run's result.

    Returns:
        Metadata by name: the verdict, a table, a picture, each distance as a number, so that
        Dagster draws it over time, and the whole result as JSON.
    """
    metadata: dict[str, Any] = {
        "verdict": result.verdict,
        "features": feature_table(result),
        "picture": dg.MetadataValue.md(result_picture(result)),
        JOB_NAME_METADATA: result.job_name,
        "baseline": result.baseline_name,
        "baseline rows": result.baseline_rows,
        "target rows": result.target_rows,
        **page_metadata(lambda: platform.store_report(config, result, drift_report_page(result))),
    }
    monitor_page = platform.monitor_page(config)
    if monitor_page is not None:
        metadata["model monitor"] = dg.MetadataValue.url(monitor_page)
    for name, address in platform.feature_pages(config, result).items():
        metadata[f"{name} in the console"] = dg.MetadataValue.url(address)
    if result.alerts:
        metadata["alerts"] = dg.MetadataValue.md("\n".join(f"- {text}" for text in result.alerts))
    for feature in result.features:
        metadata[feature.feature + _THRESHOLD_LABEL] = feature.threshold
        if feature.distance is not None:
            metadata[feature.feature + _DISTANCE_LABEL] = round(feature.distance, SHOWN_DIGITS)
        metadata[f"{feature.feature} contributors"] = table(
            ("value", "before", "now", "change"),
            [
                (item.value, item.baseline_share, item.target_share, item.change)
                for item in feature.contributors
            ],
        )
    metadata[RESULT_METADATA] = dg.MetadataValue.json(result.model_dump(mode="json"))
    return metadata


def check_result(config: MonitoringConfig, feature: FeatureDrift) -> dg.AssetCheckResult:
    """Return the check of one feature.

    Args:
        config: the monitored model.
        feature: what was found of one of its features.

    Returns:
        Passed where the distance is at most the threshold. Drift is a warning, since the trigger
        handles it; a feature without data is an error, since a person has to. A day without
        bookings passes.
    """
    metadata: dict[str, Any] = {"threshold": feature.threshold, "metric": feature.metric}
    severity = dg.AssetCheckSeverity.WARN
    is_empty_day = feature.note == NO_BOOKINGS
    if is_empty_day:
        description = f"{NO_BOOKINGS}: nothing to compare"
    elif feature.distance is None:
        severity = dg.AssetCheckSeverity.ERROR
        description = f"{feature.note}; look at the transactions of the day: nothing retrains this"
    else:
        metadata["distance"] = round(feature.distance, SHOWN_DIGITS)
        consequence = (
            "the trigger decides on a training, see the asset drift_event"
            if feature.drifted
            else "nothing to do"
        )
        description = f"{comparison(feature.distance, feature.threshold)}: {consequence}"
    return dg.AssetCheckResult(
        asset_key=ModelNames.of(config).asset(DRIFT_REPORT),
        check_name=check_names(config.drift_thresholds)[feature.feature],
        passed=is_empty_day or (feature.distance is not None and not feature.drifted),
        severity=severity,
        description=description,
        metadata=metadata,
    )


def check_evaluations(
    config: MonitoringConfig, features: Iterable[FeatureDrift], day: str
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of a day outside of the run that reported it.

    Args:
        config: the monitored model. A feature that it no longer monitors has no check.
        features: what was found of its features.
        day: the partition.
    """
    for feature in features:
        if feature.feature not in config.drift_thresholds:
            continue
        check = check_result(config, feature)
        yield dg.AssetCheckEvaluation(
            asset_key=ModelNames.of(config).asset(DRIFT_REPORT),
            check_name=check_names(config.drift_thresholds)[feature.feature],
            passed=check.passed,
            metadata=check.metadata,
            severity=check.severity,
            description=check.description,
            partition=day,
        )


def storable(
    instance: dg.DagsterInstance, evaluations: Iterable[dg.AssetCheckEvaluation]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Make evaluations outside of runs such that the instance takes them all.

    Dagster stores one evaluation outside of runs for each check and partition, and raises at the
    next: a day that is evaluated again, as after a failed job, has its evaluation without the day.
    """
    from dagster._core.event_api import PartitionKeyFilter

    seen: set[tuple[str, str | None]] = set()
    for evaluation in evaluations:
        identity = (evaluation.check_name, evaluation.partition)
        stored = instance.event_log_storage.get_asset_check_execution_history(
            evaluation.asset_check_key,
            limit=100,
            partition_filter=PartitionKeyFilter(key=evaluation.partition),
        )
        if identity in seen or any(record.run_id == "" for record in stored):
            yield dg.AssetCheckEvaluation(
                asset_key=evaluation.asset_key,
                check_name=evaluation.check_name,
                passed=evaluation.passed,
                metadata=evaluation.metadata,
                severity=evaluation.severity,
                description=f"{evaluation.partition}: {evaluation.description}",
            )
        else:
            seen.add(identity)
            yield evaluation


def read_drift_history(instance: dg.DagsterInstance, names: ModelNames) -> DriftHistory:
    """Read the reports and promotions of a model; of a day reported twice the newer counts.

    Args:
        instance: the Dagster instance.
        names: the model's names.

    Returns:
        The history, which may be empty.
    """
    # Asked for first: what is recorded while the rest is read is then read again next time.
    read_until = newest_record(instance, names)
    days: dict[date, RecordedDay] = {}
    for record in _newest_first(instance, names.asset(DRIFT_REPORT)):
        materialization = record.asset_materialization
        if materialization and materialization.partition:
            day = partition_day(materialization.partition)
            if day not in days:
                days[day] = recorded_day(materialization)
    promotions = [
        promotion
        for record in _newest_first(instance, names.asset(BASELINE_DATASET))
        if (promotion := _promotion(record)) is not None
    ]
    return DriftHistory(
        days=[days[day] for day in sorted(days)],
        promotions=sorted(promotions, key=lambda promotion: promotion.day),
        read_until=read_until,
    )


def recorded_day(materialization: dg.AssetMaterialization) -> RecordedDay:
    """Read one report.

    Args:
        materialization: of the asset `drift_report`, with its partition.

    Returns:
        What it says. Of a report that an earlier version recorded, which has no result as JSON,
        only distances and thresholds are known.
    """
    metadata = materialization.metadata
    page = metadata.get(PAGE_METADATA)
    written = isinstance(page, dg.UrlMetadataValue | dg.PathMetadataValue)
    return RecordedDay(
        result=_json_result(metadata.get(RESULT_METADATA)) or _labelled_result(materialization),
        page=str(page.value) if written and page is not None else None,
    )


def newest_record(instance: dg.DagsterInstance, names: ModelNames) -> int:
    """Return the storage id of the newest report or promotion of a model, or 0."""
    newest = 0
    for name in (DRIFT_REPORT, BASELINE_DATASET):
        records = instance.fetch_materializations(names.asset(name), limit=1).records
        newest = max(newest, records[0].storage_id if records else 0)
    return newest


def _newest_first(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[dg.EventLogRecord]:
    cursor: str | None = None
    while True:
        found = instance.fetch_materializations(key, limit=_RECORDS_PER_QUERY, cursor=cursor)
        yield from found.records
        if not found.has_more:
            return
        cursor = found.cursor


def _json_result(value: dg.MetadataValue | None) -> MonitoringResult | None:
    try:
        return None if value is None else MonitoringResult.model_validate(value.value)
    except ValidationError:
        return None


def _labelled_result(materialization: dg.AssetMaterialization) -> MonitoringResult:
    metadata = materialization.metadata
    features = [
        FeatureDrift(
            feature=(name := label.removesuffix(_THRESHOLD_LABEL)),
            metric="",
            distance=_number(metadata.get(name + _DISTANCE_LABEL)),
            threshold=threshold,
        )
        for label, value in metadata.items()
        if label.endswith(_THRESHOLD_LABEL) and (threshold := _number(value)) is not None
    ]
    return MonitoringResult(
        job_name="",
        day=partition_day(materialization.partition or ""),
        baseline_name="",
        baseline_rows=None,
        target_rows=None,
        features=tuple(features),
    )


def _promotion(record: dg.EventLogRecord) -> Promotion | None:
    materialization = record.asset_materialization
    if materialization is None:
        return None
    until = materialization.metadata.get(TRAINED_UNTIL_METADATA)
    if not isinstance(until, dg.TimestampMetadataValue) or until.value is None:
        return None
    version = materialization.metadata.get("model version")
    return Promotion(
        day=datetime.fromtimestamp(until.value, UTC).date(),
        version="" if version is None else str(version.value),
    )


def _number(value: dg.MetadataValue | None) -> float | None:
    if isinstance(value, dg.FloatMetadataValue | dg.IntMetadataValue) and value.value is not None:
        return float(value.value)
    return None
