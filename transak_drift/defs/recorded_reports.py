"""The drift reports of all days, as Dagster's own storage has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from transak_drift.defs.names import (
    PAGE_METADATA,
    TRAINED_UNTIL_METADATA,
    ModelNames,
    partition_day,
)
from transak_drift.drift.drift_onset import DayDistance
from transak_drift.drift.recorded_history import Promotion, RecordedDay, RecordedHistory

# A record holds the picture of its day: few at a time bound the memory.
_RECORDS_PER_QUERY = 100


def read_recorded_history(
    instance: dg.DagsterInstance, names: ModelNames, features: Sequence[str]
) -> RecordedHistory:
    """Read the reports and promotions of a model; of a day reported twice the newer counts.

    Args:
        instance: the Dagster instance.
        names: the model's names.
        features: the features that are looked for.

    Returns:
        The history, which may be empty.
    """
    # Asked for first: what is recorded while the rest is read is then read again next time.
    read_until = newest_record(instance, names)
    days: dict[str, RecordedDay] = {}
    for record in _newest_first(instance, names.drift_report):
        materialization = record.asset_materialization
        if materialization and materialization.partition and materialization.partition not in days:
            days[materialization.partition] = recorded_day(materialization, features)
    promotions = [
        promotion
        for record in _newest_first(instance, names.baseline_dataset)
        if (promotion := _promotion(record)) is not None
    ]
    return RecordedHistory(
        days=[days[key] for key in sorted(days)],
        promotions=sorted(promotions, key=lambda promotion: promotion.day),
        read_until=read_until,
    )


def recorded_day(materialization: dg.AssetMaterialization, features: Sequence[str]) -> RecordedDay:
    """Read one report.

    Args:
        materialization: of the asset `drift_report`, with its partition.
        features: the features that are looked for.

    Returns:
        What it says.
    """
    metadata, day = materialization.metadata, partition_day(materialization.partition or "")
    distances = {}
    for feature in features:
        threshold = _number(metadata.get(f"{feature} threshold"))
        if threshold is not None:
            distance = _number(metadata.get(f"{feature} distance"))
            distances[feature] = DayDistance(day, distance, threshold)
    verdict, page = metadata.get("verdict"), metadata.get(PAGE_METADATA)
    written = isinstance(page, dg.UrlMetadataValue | dg.PathMetadataValue)
    return RecordedDay(
        day=day,
        distances=distances,
        verdict="" if verdict is None else str(verdict.value),
        page=str(page.value) if written and page is not None else None,
    )


def newest_record(instance: dg.DagsterInstance, names: ModelNames) -> int:
    """Return the storage id of the newest report or promotion of a model, or 0."""
    newest = 0
    for key in (names.drift_report, names.baseline_dataset):
        records = instance.fetch_materializations(key, limit=1).records
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
