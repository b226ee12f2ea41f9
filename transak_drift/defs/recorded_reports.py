"""What `drift_report` records of a monitoring run, and how it is read back.

The result is one JSON value beside what people read, so that neither tables nor labels are parsed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.defs import keys
from transak_drift.defs.data_quality_checks import (
    ROWS_METADATA,
    quality_metadata,
    quality_verdicts,
)
from transak_drift.defs.keys import ModelNames, check_names
from transak_drift.defs.metadata import SHOWN_DIGITS, page_metadata, recorded_time, table
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_windows import WINDOWS_METADATA, describe_windows
from transak_drift.defs.rollbacks import newest_rollback
from transak_drift.drift.drift_history import DriftHistory, Promotion, RecordedWindow
from transak_drift.drift.monitoring_result import (
    NO_BASELINE,
    NO_BOOKINGS,
    NO_MODEL,
    FeatureDrift,
    MonitoringResult,
    comparison,
    does_not_train,
)
from transak_drift.reports.charts import result_picture
from transak_drift.reports.pages import drift_report_page
from transak_drift.training.rollback import Rollback
from transak_drift.trigger.decision import QuietWindow

_log = logging.getLogger(__name__)
RESULT_METADATA = "result"

_MAX_QUIET_WINDOWS = 60
# A record holds the picture of its window: few at a time bound the memory.
_RECORDS_PER_QUERY = 100


def report_metadata(
    config: MonitoringConfig, platform: PlatformResource, result: MonitoringResult
) -> dict[str, Any]:
    """Return the metadata of a report, and store its page; the same on every platform.

    Each distance is a number of its own, so that Dagster draws it over time.
    """
    document = drift_report_page(result, quality_verdicts(config, result))
    columns = ("feature", "objective", "metric", "distance", "by_chance", "threshold", "verdict")
    metadata: dict[str, Any] = {
        "verdict": result.verdict,
        "features": table(
            (*columns, "greatest change"),
            [
                (*(getattr(feature, name) for name in columns), _greatest_change(feature))
                for feature in result.features
            ],
        ),
        "picture": dg.MetadataValue.md(result_picture(result)),
        keys.JOB_NAME_METADATA: result.job_name,
        WINDOWS_METADATA: describe_windows(config.windows),
        "baseline": result.baseline_name,
        "baseline rows": result.baseline_rows,
        ROWS_METADATA: result.target_rows,
        **quality_metadata(config, result),
        **({"method": result.method} if result.method else {}),
        **page_metadata(lambda: platform.store_report(config, result, document)),
    }
    pages = {
        f"{item.feature} in the console": item.feature
        for item in result.features
        # Where the console shows predictions is documented nowhere.
        if item.objective == "feature"
    }
    for label, feature in {"model monitor": None, **pages}.items():
        if not result.job_name:
            break
        if page := platform.console_page(config, result.job_name, feature):
            metadata[label] = dg.MetadataValue.url(page)
    if result.alerts:
        metadata["alerts"] = dg.MetadataValue.md("\n".join(f"- {text}" for text in result.alerts))
    for feature in result.features:
        metadata[f"{feature.feature} threshold"] = feature.threshold
        if feature.distance is not None:
            metadata[f"{feature.feature} distance"] = round(feature.distance, SHOWN_DIGITS)
        if feature.by_chance is not None:
            metadata[f"{feature.feature} by chance"] = round(feature.by_chance, SHOWN_DIGITS)
        metadata[f"{feature.feature} contributors"] = table(
            ("value", "before", "now", "change"),
            [
                (it.value, it.baseline_share, it.target_share, it.change)
                for it in feature.contributors
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
    config: MonitoringConfig, features: Iterable[FeatureDrift], partition: str
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of a window: passed where the distance is at most the threshold.

    Drift is a warning, since the trigger handles it, and so is an empty baseline; a feature without
    data is an error, since a person has to see to it. A window without bookings passes, and so do
    predictions where there is no model. A feature no longer monitored has no check.
    """
    names = check_names(config.thresholds)
    for feature in features:
        if feature.feature not in names:
            continue
        metadata: dict[str, Any] = {"threshold": feature.threshold, "metric": feature.metric}
        severity = dg.AssetCheckSeverity.WARN
        passed = not feature.drifted
        if feature.note == NO_BOOKINGS:
            description = f"{NO_BOOKINGS}: nothing to compare"
        elif feature.note.startswith(NO_MODEL):
            description = feature.note
        elif feature.note.startswith(NO_BASELINE):
            # Of no window's making: it stands until a person changes the baseline.
            passed, description = False, feature.note
        elif feature.distance is None:
            passed, severity = False, dg.AssetCheckSeverity.ERROR
            description = (
                f"{feature.note}; look at the transactions of the window: nothing retrains this"
            )
        else:
            metadata["distance"] = round(feature.distance, SHOWN_DIGITS)
            if feature.by_chance is not None:
                metadata["by chance"] = round(feature.by_chance, SHOWN_DIGITS)
            follows = "nothing to do"
            if feature.drifted and feature.objective not in config.retrain_policy.objectives:
                follows = does_not_train(feature.objective)
            elif feature.drifted:
                follows = "the trigger decides on a training, see the asset drift_event"
            elif feature.is_above_threshold:
                follows = f"no drift, {feature.dismissed}"
            description = f"{comparison(feature.distance, feature.threshold)}: {follows}"
        yield dg.AssetCheckEvaluation(
            asset_key=ModelNames.of(config).asset(keys.DRIFT_REPORT),
            check_name=names[feature.feature],
            passed=passed,
            metadata=metadata,
            severity=severity,
            description=description,
            partition=partition,
        )


def storable(
    instance: dg.DagsterInstance, evaluations: Iterable[dg.AssetCheckEvaluation]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Leave the partition out of evaluations that the instance would not take.

    Outside of runs it stores one for each check and partition, and raises at the next, as of a
    window that is evaluated again after a failed job.
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
    """Read the reports and promotions of a model; of a window reported twice the newer counts."""
    # Asked for first: what is recorded while the rest is read is then read again next time.
    read_until = newest_record(instance, names)
    windows: dict[Window, RecordedWindow] = {}
    unread: set[str] = set()
    for report in _newest_first(instance, names.asset(keys.DRIFT_REPORT)):
        if (recorded := recorded_window(report)) is not None:
            windows.setdefault(recorded.window, recorded)
        else:
            unread.add(report.partition or "")
    if left_out := sorted(unread - {window.key for window in windows}):
        _log.warning("reports of another version are left out, monitor again: %s", left_out)
    promotions = map(_promotion, _newest_first(instance, names.asset(keys.BASELINE_DATASET)))
    return DriftHistory(
        windows=[windows[window] for window in sorted(windows)],
        promotions=sorted(filter(None, promotions), key=lambda promotion: promotion.day),
        read_until=read_until,
    )


def quiet_windows(instance: dg.DagsterInstance, names: ModelNames) -> list[QuietWindow]:
    """Return what did not drift in the newest reports; of a window reported twice the newer counts.

    What was compared with a baseline that a rollback has undone says nothing of the present one.
    """
    found: dict[Window, QuietWindow] = {}
    key, rollback = names.asset(keys.DRIFT_REPORT), newest_rollback(instance, names)
    for record in instance.fetch_materializations(key, limit=_MAX_QUIET_WINDOWS).records:
        report = (
            recorded_window(record.asset_materialization) if record.asset_materialization else None
        )
        if report is None:
            continue
        _, end = report.result.interval
        if _is_undone(rollback, record, end):
            continue
        quiet = frozenset(
            (item.feature, item.objective)
            for item in report.result.features
            if item.distance is not None and not item.drifted
        )
        found.setdefault(report.window, QuietWindow(end, quiet))
    return list(found.values())


def standing_baselines(instance: dg.DagsterInstance, names: ModelNames) -> list[datetime]:
    """Return the ends of the data of the newest baselines that no rollback has undone."""
    key, rollback = names.asset(keys.BASELINE_DATASET), newest_rollback(instance, names)
    records = instance.fetch_materializations(key, limit=_MAX_QUIET_WINDOWS).records
    ends = [
        (recorded_time(record.asset_materialization, keys.TRAINED_UNTIL_METADATA), record)
        for record in records
    ]
    return [end for end, record in ends if end and not _is_undone(rollback, record, end)]


def _is_undone(rollback: Rollback | None, record: dg.EventLogRecord, end: datetime) -> bool:
    if rollback is None:
        return False
    return record.timestamp < rollback.at.timestamp() and end > rollback.trained_until


def recorded_window(materialization: dg.AssetMaterialization) -> RecordedWindow | None:
    """Read one report, a materialization of `drift_report`; None where another version wrote it."""
    result = materialization.metadata.get(RESULT_METADATA)
    page = materialization.metadata.get(keys.PAGE_METADATA)
    written = isinstance(page, dg.UrlMetadataValue | dg.PathMetadataValue)
    try:
        found = MonitoringResult.model_validate(result and result.value)
    except ValidationError:
        return None
    return RecordedWindow(found, page=str(page.value) if written else None)


def newest_record(instance: dg.DagsterInstance, names: ModelNames) -> int:
    """Return the storage id of the newest report, training or promotion of a model, or 0."""
    newest = 0
    for name in (keys.DRIFT_REPORT, keys.TRAINED_MODEL, keys.BASELINE_DATASET):
        records = instance.fetch_materializations(names.asset(name), limit=1).records
        newest = max(newest, records[0].storage_id if records else 0)
    return newest


def _newest_first(
    instance: dg.DagsterInstance, key: dg.AssetKey
) -> Iterator[dg.AssetMaterialization]:
    cursor, has_more = None, True
    while has_more:
        found = instance.fetch_materializations(key, limit=_RECORDS_PER_QUERY, cursor=cursor)
        cursor, has_more = found.cursor, found.has_more
        yield from filter(None, (record.asset_materialization for record in found.records))


def _promotion(materialization: dg.AssetMaterialization) -> Promotion | None:
    last_day = materialization.metadata.get(keys.LAST_DAY_METADATA)
    version = materialization.metadata.get("model version")
    if last_day is None:
        return None
    name = str(version.value) if version else ""
    # After a rollback the data are old, and the baseline is again theirs from that day on.
    if since := materialization.metadata.get(keys.BASELINE_SINCE_METADATA):
        return Promotion(date.fromisoformat(str(since.value)), f"{name} (rollback)")
    return Promotion(date.fromisoformat(str(last_day.value)) + timedelta(days=1), name)
