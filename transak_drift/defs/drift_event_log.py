"""The trigger's records in Dagster's event log: observations of the asset `drift_event`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.defs.metadata import MAX_TABLE_ROWS, event_metadata, table
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

RECORDS_METADATA = "records"
_COLUMNS = ("drift event", "messages", "window end", "detail", "reason")
_OBSERVATIONS_PER_QUERY = 200
# A writer's transaction may end after one that began later and has a greater storage id.
_COMMIT_SECONDS = 30.0


def write_records(
    instance: dg.DagsterInstance, key: dg.AssetKey, records: Sequence[TriggerRecord]
) -> None:
    """Write records; they are durable on return.

    Up to a hundred of one kind are one observation: each is a write to Dagster's storage, for which
    a burst of events would wait, and a flood stays readable.
    """
    for kind in OutcomeKind:
        of_kind = [record for record in records if record.kind == kind]
        for start in range(0, len(of_kind), MAX_TABLE_ROWS):
            part = of_kind[start : start + MAX_TABLE_ROWS]
            is_one = len(part) == 1
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    asset_key=key,
                    description=f"{kind}: {part[0].detail if is_one else len(part)}",
                    metadata={
                        "outcome": kind.value,
                        "messages": sum(record.messages for record in part),
                        **(_as_lines(part[0]) if is_one else _as_table(part)),
                        RECORDS_METADATA: [
                            record.model_dump(mode="json", exclude_defaults=True) for record in part
                        ],
                    },
                )
            )


def read_records(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    *,
    after: int | None = None,
    since: float | None = None,
    limit: int = _OBSERVATIONS_PER_QUERY,
) -> list[tuple[int, list[TriggerRecord]]]:
    """Read records, oldest first, each list with the storage id of its observation.

    Observations of another form, which others may record, have no records.
    """
    return [
        (item.storage_id, list(_records_of(item)))
        for item in _observations(instance, key, after, since, limit)
    ]


def catch_up(instance: dg.DagsterInstance, key: dg.AssetKey, inbox: Inbox, deadline: float) -> bool:
    """Sum up what was written since; returns whether that is all, or the deadline came first.

    The deadline is a time of `time.monotonic`. The last half minute is read again the next time,
    for observations that appear late.
    """
    closed_before = time.time() - _COMMIT_SECONDS
    after = inbox.read_until
    while True:
        found = _observations(instance, key, after, None, _OBSERVATIONS_PER_QUERY)
        for item in found:
            after = item.storage_id
            inbox.add(_records_of(item))
            if item.timestamp < closed_before:
                inbox.read_until = after
        if len(found) < _OBSERVATIONS_PER_QUERY:
            return True
        if time.monotonic() > deadline:
            return False


def _observations(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    after: int | None,
    since: float | None,
    limit: int,
) -> Sequence[dg.EventLogRecord]:
    chosen = dg.AssetRecordsFilter(asset_key=key, after_storage_id=after, after_timestamp=since)
    return instance.fetch_observations(chosen, limit=limit, ascending=True).records


def _records_of(observed: dg.EventLogRecord) -> Iterator[TriggerRecord]:
    observation = observed.asset_observation
    value = observation.metadata.get(RECORDS_METADATA) if observation else None
    items = value.value if isinstance(value, dg.JsonMetadataValue) else None
    for item in items if isinstance(items, list) else ():
        try:
            yield TriggerRecord.model_validate(item)
        except ValidationError:
            continue


def _as_lines(record: TriggerRecord) -> dict[str, Any]:
    known = {"drift event": record.key} if record.event is None else event_metadata(record.event)
    return {"detail": record.detail, **known}


def _as_table(records: Sequence[TriggerRecord]) -> dict[str, Any]:
    rows = [
        (
            record.key,
            record.messages,
            "" if record.event is None else record.event.window_end.isoformat(),
            record.detail,
            record.reason,
        )
        for record in records
    ]
    return {"list": table(_COLUMNS, rows)}
