"""What `drift_report` records of a monitoring run, and how it is read back.

The result is one JSON value beside what people read, so that neither tables nor labels are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames, check_names
from transak_drift.defs.metadata import SHOWN_DIGITS, page_metadata, recorded_time, table
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

    Each distance is a number of its own, so that Dagster draws it over time.
    """
    metadata: dict[str, Any] = {
        "verdict": result.verdict,
        "features": table(
            ("feature", "metric", "distance", "threshold", "verdict", "greatest change"),
            [
                (
                    feature.feature,
                    feature.metric,
                    feature.distance,
                    feature.threshold,
                    feature.verdict,
                    _greatest_change(feature),
                )
                for feature in result.features
            ],
        ),
        "picture": dg.MetadataValue.md(result_picture(result)),
        keys.JOB_NAME_METADATA: result.job_name,
        "baseline": result.baseline_name,
        "baseline rows": result.baseline_rows,
        "target rows": result.target_rows,
        **({"method": result.method} if result.method else {}),
        **page_metadata(lambda: platform.store_report(config, result, drift_report_page(result))),
    }
    for name in (None, *(feature.feature for feature in result.features)):
        page = platform.console_page(config, result.job_name, name)
        if page is not None:
            label = f"{name} in the console" if name else "model monitor"
            metadata[label] = dg.MetadataValue.url(page)
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


def _greatest_change(feature: FeatureDrift) -> str:
    if feature.note or not feature.contributors:
        return feature.note
    top = feature.contributors[0]
    return f"{top.value}: {top.baseline_share:.1%} -> {top.target_share:.1%}"


def check_evaluations(
    config: MonitoringConfig, features: Iterable[FeatureDrift], day: str
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of a day: passed where the distance is at most the threshold.

    Drift is a warning, since the trigger handles it; a feature without data is an error, since a
    person has to. A day without bookings passes. A feature no longer monitored has no check.
    """
    names = check_names(config.drift_thresholds)
    for feature in features:
        if feature.feature not in names:
            continue
        metadata: dict[str, Any] = {"threshold": feature.threshold, "metric": feature.metric}
        severity = dg.AssetCheckSeverity.WARN
        passed = not feature.drifted
        if feature.note == NO_BOOKINGS:
            description = f"{NO_BOOKINGS}: nothing to compare"
        elif feature.distance is None:
            passed, severity = False, dg.AssetCheckSeverity.ERROR
            description = (
                f"{feature.note}; look at the transactions of the day: nothing retrains this"
            )
        else:
            metadata["distance"] = round(feature.distance, SHOWN_DIGITS)
            description = f"{comparison(feature.distance, feature.threshold)}: " + (
                "the trigger decides on a training, see the asset drift_event"
                if feature.drifted
                else "nothing to do"
            )
        yield dg.AssetCheckEvaluation(
            asset_key=ModelNames.of(config).asset(keys.DRIFT_REPORT),
            check_name=names[feature.feature],
            passed=passed,
            metadata=metadata,
            severity=severity,
            description=description,
            partition=day,
        )


def storable(
    instance: dg.DagsterInstance, evaluations: Iterable[dg.AssetCheckEvaluation]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Make evaluations outside of runs such that the instance takes them all.

    Dagster stores one evaluation outside of runs for each check and partition, and raises at the
    next: a day that is evaluated again, as after a failed job, has its evaluation without the day.
    """
    # No public name says of which partition an evaluation is asked for.
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
    """Read the reports and promotions of a model; of a day reported twice the newer counts."""
    # Asked for first: what is recorded while the rest is read is then read again next time.
    read_until = newest_record(instance, names)
    days: dict[str, RecordedDay] = {}
    for report in _newest_first(instance, names.asset(keys.DRIFT_REPORT)):
        if report.partition and report.partition not in days:
            days[report.partition] = recorded_day(report)
    promotions = map(_promotion, _newest_first(instance, names.asset(keys.BASELINE_DATASET)))
    return DriftHistory(
        days=[days[day] for day in sorted(days)],
        promotions=sorted(filter(None, promotions), key=lambda promotion: promotion.day),
        read_until=read_until,
    )


def recorded_day(materialization: dg.AssetMaterialization) -> RecordedDay:
    """Read one report, a materialization of `drift_report` with its partition.

    Of one that an earlier version recorded, which has no result as JSON, only distances and
    thresholds are known.
    """
    metadata = materialization.metadata
    page = metadata.get(keys.PAGE_METADATA)
    written = isinstance(page, dg.UrlMetadataValue | dg.PathMetadataValue)
    try:
        result = MonitoringResult.model_validate(metadata[RESULT_METADATA].value)
    except (KeyError, ValidationError):
        result = _labelled_result(materialization)
    return RecordedDay(result, page=str(page.value) if written else None)


def newest_record(instance: dg.DagsterInstance, names: ModelNames) -> int:
    """Return the storage id of the newest report or promotion of a model, or 0."""
    newest = 0
    for name in (keys.DRIFT_REPORT, keys.BASELINE_DATASET):
        records = instance.fetch_materializations(names.asset(name), limit=1).records
        newest = max(newest, records[0].storage_id if records else 0)
    return newest


def _newest_first(
    instance: dg.DagsterInstance, key: dg.AssetKey
) -> Iterator[dg.AssetMaterialization]:
    cursor: str | None = None
    while True:
        found = instance.fetch_materializations(key, limit=_RECORDS_PER_QUERY, cursor=cursor)
        for record in found.records:
            if record.asset_materialization is not None:
                yield record.asset_materialization
        if not found.has_more:
            return
        cursor = found.cursor


def _labelled_result(materialization: dg.AssetMaterialization) -> MonitoringResult:
    numbers = {
        label: float(value.value)
        for label, value in materialization.metadata.items()
        if isinstance(value, dg.FloatMetadataValue | dg.IntMetadataValue)
        and value.value is not None
    }
    names = [
        label.removesuffix(_THRESHOLD_LABEL)
        for label in numbers
        if label.endswith(_THRESHOLD_LABEL)
    ]
    return MonitoringResult(
        job_name="",
        day=date.fromisoformat(materialization.partition or ""),
        baseline_name="",
        baseline_rows=None,
        target_rows=None,
        features=tuple(
            FeatureDrift(
                feature=name,
                metric="",
                distance=numbers.get(name + _DISTANCE_LABEL),
                threshold=numbers[name + _THRESHOLD_LABEL],
            )
            for name in names
        ),
    )


def _promotion(materialization: dg.AssetMaterialization) -> Promotion | None:
    until = recorded_time(materialization, keys.TRAINED_UNTIL_METADATA)
    version = materialization.metadata.get("model version")
    if until is None:
        return None
    return Promotion(day=until.date(), version="" if version is None else str(version.value))
