"""How results are shown: one place for the metadata that people read in the Dagster UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from transak_drift.core.drift_event import DriftEvent
from transak_drift.core.monitoring_result import FeatureDrift, MonitoringResult

MOST_TABLE_ROWS = 100


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return rows as a table; at most the first 100, all with the keys of the first."""
    records = [
        dg.TableRecord({key: _cell(value) for key, value in row.items()})
        for row in rows[:MOST_TABLE_ROWS]
    ]
    return dg.MetadataValue.table(records)


def verdict(feature: FeatureDrift) -> str:
    """Tell in two words at most how a feature stands."""
    if feature.distance is None:
        return "no data"
    return "drift" if feature.drifted else "ok"


def feature_table(result: MonitoringResult) -> dg.TableMetadataValue:
    """Return one row a feature: distance, threshold, verdict and the greatest contributor."""
    rows = []
    for feature in result.features:
        top = feature.contributors[0] if feature.contributors else None
        rows.append(
            {
                "feature": feature.feature,
                "metric": feature.metric,
                "distance": "-" if feature.distance is None else round(feature.distance, 6),
                "threshold": feature.threshold,
                "verdict": verdict(feature),
                "greatest change": feature.note
                or (
                    f"{top.value}: {top.baseline_share:.1%} -> {top.target_share:.1%}"
                    if top
                    else ""
                ),
            }
        )
    return table(rows)


def event_metadata(event: DriftEvent) -> dict[str, Any]:
    """Return what identifies a drift event and what it says."""
    return {
        "drift event": event.key,
        "monitoring job": event.monitoring_job_id,
        "window end": dg.MetadataValue.timestamp(event.window_end),
        "features": table(
            [
                {"feature": a.feature, "distance": a.deviation, "threshold": a.threshold}
                for a in event.anomalies
            ]
        ),
    }


def _cell(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
