"""How results and errors are shown: metadata that people read in the Dagster UI."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from transak_drift.defs.keys import PAGE_METADATA
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.platform import Dataset, PlatformError

MAX_TABLE_ROWS = 100
# Distances, shares and metrics are shown with so many decimal places.
SHOWN_DIGITS = 6


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    """Return a table for the UI.

    Args:
        columns: the headings.
        rows: the cells of each row, in the order of the headings; at most the first 100 are shown,
            numbers with six decimal places.

    Returns:
        The table, which may be empty.
    """
    records = [
        dg.TableRecord({name: _cell(value) for name, value in zip(columns, row, strict=True)})
        for row in rows[:MAX_TABLE_ROWS]
    ]
    types = [_column_type(row) for row in zip(*rows, strict=True)] or ["string"] * len(columns)
    schema = dg.TableSchema(
        [dg.TableColumn(name, kind) for name, kind in zip(columns, types, strict=True)]
    )
    return dg.MetadataValue.table(records, schema=schema)


def feature_table(result: MonitoringResult) -> dg.TableMetadataValue:
    """Return one row a feature: distance, threshold, verdict and the greatest contributor."""
    return table(
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
    )


def event_metadata(event: DriftEvent) -> dict[str, Any]:
    """Return what identifies a drift event and what it says."""
    return {
        "drift event": event.key,
        "monitoring job": event.monitoring_job_id,
        "window end": dg.MetadataValue.timestamp(event.window_end),
        "features": table(
            ("feature", "distance", "threshold"),
            [(item.feature, round(item.distance, 6), item.threshold) for item in event.features],
        ),
    }


def dataset_metadata(dataset: Dataset) -> dict[str, Any]:
    """Return where rows lie, and how many they are where that is known."""
    metadata: dict[str, Any] = {"location": dg.MetadataValue.path(dataset.uri)}
    if dataset.rows is not None:
        metadata["dagster/row_count"] = dataset.rows
    return metadata


def page_metadata(store: Callable[[], str | None]) -> dict[str, dg.MetadataValue]:
    """Store a page and return where it is; what it shows is recorded even where that fails.

    Args:
        store: stores the page and returns its path or https address, or None.
    """
    try:
        address = store()
    except PlatformError as error:
        return {PAGE_METADATA: dg.MetadataValue.text(f"not written: {error}")}
    if address is None:
        return {}
    if address.startswith("https://"):
        return {PAGE_METADATA: dg.MetadataValue.url(address)}
    return {PAGE_METADATA: dg.MetadataValue.path(address)}


@contextmanager
def as_failure() -> Generator[None]:
    """Turn a `PlatformError` into a Dagster failure.

    Raises:
        dagster.Failure: with the error's message; not retried, since a person has to act.
    """
    try:
        yield
    except PlatformError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def _greatest_change(feature: FeatureDrift) -> str:
    if feature.note or not feature.contributors:
        return feature.note
    top = feature.contributors[0]
    return f"{top.value}: {top.baseline_share:.1%} -> {top.target_share:.1%}"


def _column_type(cells: Sequence[Any]) -> str:
    present = [cell for cell in cells if cell is not None]
    if present and all(isinstance(cell, int) and not isinstance(cell, bool) for cell in present):
        return "int"
    if present and all(isinstance(cell, int | float) for cell in present):
        return "float"
    return "string"


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        return round(value, SHOWN_DIGITS)
    return value if value is None or isinstance(value, str | int | bool) else str(value)
