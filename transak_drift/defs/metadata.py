"""How results and errors are shown in the Dagster UI, and how what was recorded is read back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from transak_drift.defs.keys import PAGE_METADATA
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import PlatformError

MAX_TABLE_ROWS = 100
# Distances, shares and metrics are shown with so many decimal places.
SHOWN_DIGITS = 6


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    """Return a table of the first 100 rows, which may be none."""
    records = [dict(zip(columns, map(_cell, row), strict=True)) for row in rows[:MAX_TABLE_ROWS]]
    kind = dg.TableMetadataValue.infer_column_type
    schema = [
        # The first row may have no distance.
        dg.TableColumn(name, kind(next((r[name] for r in records if r[name] is not None), None)))
        for name in columns
    ]
    return dg.MetadataValue.table(list(map(dg.TableRecord, records)), dg.TableSchema(schema))


def event_metadata(event: DriftEvent) -> dict[str, Any]:
    """Return what identifies a drift event and what it says."""
    columns = ("feature", "objective", "distance", "by_chance", "threshold")
    features = [tuple(getattr(item, name) for name in columns) for item in event.features]
    return {
        "drift event": event.key,
        "monitoring job": event.monitoring_job_id,
        "window end": dg.MetadataValue.timestamp(event.window_end),
        "features": table(columns, features),
    }


def page_metadata(store: Callable[[], str | None]) -> dict[str, dg.MetadataValue]:
    """Store a page and return where it is; what it shows is recorded even where that fails."""
    try:
        address = store()
    except PlatformError as error:
        return {PAGE_METADATA: dg.MetadataValue.text(f"not written: {error}")}
    if address is None:
        return {}
    is_url = address.startswith("https://")
    value = dg.MetadataValue.url(address) if is_url else dg.MetadataValue.path(address)
    return {PAGE_METADATA: value}


@contextmanager
def as_failure() -> Generator[None]:
    """Turn a `PlatformError` into a failure that is not retried, since a person has to act."""
    try:
        yield
    except PlatformError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def failure_message(event: dg.DagsterEvent) -> str | None:
    """Return what a failed step says to people: its own description, else its error's cause."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    if failure.error is not None:
        return (failure.error.cause or failure.error).message
    return None


def newest_materialization(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None
) -> dg.AssetMaterialization | None:
    """Return the newest materialization of an asset, or of one of its partitions."""
    if partition is None:
        event = instance.get_latest_materialization_event(key)
        return event.asset_materialization if event else None
    chosen = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    records = instance.fetch_materializations(chosen, limit=1).records
    return records[0].asset_materialization if records else None


def recorded_time(materialization: dg.AssetMaterialization | None, label: str) -> datetime | None:
    """Return a time, UTC, of a materialization's metadata, or None where it has none."""
    value = materialization.metadata.get(label) if materialization else None
    if not isinstance(value, dg.TimestampMetadataValue) or value.value is None:
        return None
    return datetime.fromtimestamp(value.value, UTC)


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        return round(value, SHOWN_DIGITS)
    return value if value is None or isinstance(value, str | int | bool) else str(value)
