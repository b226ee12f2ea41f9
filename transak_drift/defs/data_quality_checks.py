"""The asset checks of `drift_report` on the quality of a window's data; each warns at most."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import table
from transak_drift.drift.data_quality import (
    MAX_EARLIER_WINDOWS,
    QualityVerdict,
    comparable_windows,
    judge_quality,
    quality_checks,
    usual_rows,
)
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.reports.sanitize import sanitize_line

ROWS_METADATA = "target rows"
_MAX_TEXT_LENGTH = 2_000
# Of each window so many reports may be read, to find those of all windows.
_REPORTS_PER_WINDOW = 3


def quality_check_specs(
    config: MonitoringConfig, partitions: dg.TimeWindowPartitionsDefinition
) -> list[dg.AssetCheckSpec]:
    """Return the checks that the configuration leaves on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name=check,
                asset=ModelNames.of(config).asset(keys.DRIFT_REPORT),
                description=f"{text} A warning is for a person; it trains nothing.",
                partitions_def=partitions,
            )
            for check, text in quality_checks(config.data_quality).items()
        ]


def with_usual_rows(
    instance: dg.DagsterInstance,
    config: MonitoringConfig,
    result: MonitoringResult,
    known: dict[str, int] | None = None,
) -> MonitoringResult:
    """Return a result with the rows that are usual by the reports of the windows before.

    The rows of windows by their keys that are known need not be read, and are added to.
    """
    if config.data_quality.row_count_factor is None or not result.target_rows:
        return result
    rows = {} if known is None else known
    earlier = [window.key for window in comparable_windows(config.windows, result.window)]
    unread = [key for key in earlier if key not in rows]
    found: dict[str, int] = {}
    report = ModelNames.of(config).asset(keys.DRIFT_REPORT)
    chosen = dg.AssetRecordsFilter(report, asset_partitions=unread)
    limit = _REPORTS_PER_WINDOW * MAX_EARLIER_WINDOWS
    for record in instance.fetch_materializations(chosen, limit).records if unread else ():
        materialization = record.asset_materialization
        value = materialization.metadata.get(ROWS_METADATA) if materialization else None
        if record.partition_key and isinstance(value, dg.IntMetadataValue) and value.value:
            # Newest first.
            found.setdefault(record.partition_key, value.value)
    rows |= dict.fromkeys(unread, 0) | found
    rows[result.window.key] = result.target_rows
    return compared_with(config, result, rows)


def compared_with(
    config: MonitoringConfig, result: MonitoringResult, rows: Mapping[str, int]
) -> MonitoringResult:
    """Return a result with the rows that are usual, given those of windows by their keys."""
    earlier = [rows.get(w.key, 0) for w in comparable_windows(config.windows, result.window)]
    return result.model_copy(update={"usual_rows": usual_rows(earlier)})


def quality_verdicts(config: MonitoringConfig, result: MonitoringResult) -> list[QualityVerdict]:
    """Judge a result by the limits of the configuration."""
    rows, of_baseline = result.target_rows, result.baseline_rows
    limits, usual = config.data_quality, result.usual_rows
    return judge_quality(limits, result.quality, rows, of_baseline, usual)


def quality_evaluations(
    config: MonitoringConfig, result: MonitoringResult
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of a window; what is wrong is a warning with what to do."""
    for verdict in quality_verdicts(config, result):
        yield dg.AssetCheckEvaluation(
            asset_key=ModelNames.of(config).asset(keys.DRIFT_REPORT),
            check_name=verdict.check,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=sanitize_line(verdict.description, _MAX_TEXT_LENGTH),
            partition=result.window.key,
        )


def quality_metadata(config: MonitoringConfig, result: MonitoringResult) -> dict[str, Any]:
    """Return what a report says of the quality of its data."""
    columns = ("missing", "in the baseline", "unseen", "expected", "type change", "note")
    rows = [
        (
            item.feature,
            item.missing_share,
            item.expected_missing_share,
            item.unseen_share,
            item.expected_unseen_share,
            item.type_change,
            item.note,
        )
        for item in result.quality
    ]
    wrong = [item.check for item in quality_verdicts(config, result) if not item.passed]
    usual = {} if result.usual_rows is None else {"usual rows": result.usual_rows}
    return {
        **usual,
        "data quality": ", ".join(wrong) or "nothing to report",
        "data quality of features": table(("feature", *columns), rows),
    }
