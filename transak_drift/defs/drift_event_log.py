"""The trigger's records in Dagster's event log: observations of the asset `drift_event`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.defs.metadata import MOST_TABLE_ROWS, event_metadata, table
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

RECORDS_METADATA = "records"
# Each observation is a write to Dagster's storage, which a burst of events would wait for.
MAX_SINGLE_OBSERVATIONS = 10
_OBSERVATIONS_PER_QUERY = 200
_COLUMNS = ("drift event", "messages", "window end", "detail", "reason")


def write_records(
    instance: dg.DagsterInstance, key: dg.AssetKey, records: Sequence[TriggerRecord]
) -> None:
    """Write records; they are durable on return.

    One observation for each drift event; of what is no drift, and of more than ten records of one
    kind, one observation for each hundred, so that a flood stays readable.
    """
    for kind in OutcomeKind:
        of_kind = [record for record in records if record.kind == kind]
        listed = len(of_kind) > MAX_SINGLE_OBSERVATIONS or kind in _ALWAYS_LISTED
        size = MOST_TABLE_ROWS if listed else 1
        for start in range(0, len(of_kind), size):
            part = of_kind[start : start + size]
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    asset_key=key,
                    description=f"{kind}: {len(part)}" if listed else f"{kind}: {part[0].detail}",
                    metadata=_listed(kind, part) if listed else _single(part[0]),
                )
            )


def read_records(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    *,
    after: int | None = None,
    storage_ids: Sequence[int] | None = None,
    since: float | None = None,
    limit: int = _OBSERVATIONS_PER_QUERY,
) -> list[tuple[int, list[TriggerRecord]]]:
    """Read records, oldest first, each list with the storage id of its observation.

    Observations of another form, which others may record, have no records.
    """
    observations = instance.fetch_observations(
        dg.AssetRecordsFilter(
            asset_key=key,
            after_storage_id=after,
            storage_ids=storage_ids,
            after_timestamp=since,
        ),
        limit=limit,
        ascending=True,
    ).records
    return [
        (
            item.storage_id,
            list(_records_of(item.asset_observation.metadata)) if item.asset_observation else [],
        )
        for item in observations
    ]


def catch_up(instance: dg.DagsterInstance, key: dg.AssetKey, inbox: Inbox, deadline: float) -> bool:
    """Sum up what was written since; returns whether that is all, or the deadline came first.

    The deadline is a time of `time.monotonic`.
    """
    while True:
        found = read_records(instance, key, after=inbox.read_until)
        for storage_id, records in found:
            inbox.add(storage_id, records)
        if len(found) < _OBSERVATIONS_PER_QUERY:
            return True
        if time.monotonic() > deadline:
            return False


# Of these there may be one for each message of a flood.
_ALWAYS_LISTED = frozenset({OutcomeKind.NOT_DRIFT, OutcomeKind.DEAD_LETTERED, OutcomeKind.NOTICE})


def _records_of(metadata: Mapping[str, dg.MetadataValue]) -> Iterator[TriggerRecord]:
    value = metadata.get(RECORDS_METADATA)
    items = value.value if isinstance(value, dg.JsonMetadataValue) else None
    for item in items if isinstance(items, list) else ():
        try:
            yield TriggerRecord.model_validate(item)
        except ValidationError:
            continue


def _as_json(records: Sequence[TriggerRecord]) -> dg.JsonMetadataValue:
    return dg.MetadataValue.json(
        [json.loads(record.model_dump_json(exclude_defaults=True)) for record in records]
    )


def _single(record: TriggerRecord) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "outcome": record.kind.value,
        "detail": record.detail,
        "messages": record.messages,
        "drift event": record.key,
    }
    if record.event is not None:
        metadata |= event_metadata(record.event)
    return {**metadata, RECORDS_METADATA: _as_json([record])}


def _listed(kind: OutcomeKind, records: Sequence[TriggerRecord]) -> dict[str, Any]:
    return {
        "outcome": kind.value,
        "messages": sum(record.messages for record in records),
        "list": table(
            _COLUMNS,
            [
                (
                    record.key,
                    record.messages,
                    "" if record.event is None else record.event.window_end.isoformat(),
                    record.detail,
                    record.reason,
                )
                for record in records
            ],
        ),
        RECORDS_METADATA: _as_json(records),
    }
