"""The trigger's records in Dagster's event log: observations of the asset `drift_event`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.defs.metadata import MAX_TABLE_ROWS, event_metadata, table
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

RECORDS_METADATA = "records"
# Each observation is a write to Dagster's storage, which a burst of events would wait for.
MAX_SINGLE_OBSERVATIONS = 10
_OBSERVATIONS_PER_QUERY = 200
# A writer's transaction may end after one that began later and has a greater storage id.
_COMMIT_SECONDS = 30.0
# Of these there may be one for each message of a flood.
_ALWAYS_LISTED = frozenset({OutcomeKind.NOT_DRIFT, OutcomeKind.DEAD_LETTERED, OutcomeKind.NOTICE})


def write_records(
    instance: dg.DagsterInstance, key: dg.AssetKey, records: Sequence[TriggerRecord]
) -> None:
    """Write records; they are durable on return.

    One observation for each drift event; of what is no drift, and of more than ten records of one
    kind, one observation for each hundred, so that a flood stays readable.
    """
    for kind in OutcomeKind:
        of_kind = [record for record in records if record.kind == kind]
        listed = kind in _ALWAYS_LISTED or len(of_kind) > MAX_SINGLE_OBSERVATIONS
        size = MAX_TABLE_ROWS if listed else 1
        for start in range(0, len(of_kind), size):
            part = of_kind[start : start + size]
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    asset_key=key,
                    description=f"{kind}: {len(part) if listed else part[0].detail}",
                    metadata={
                        "outcome": kind.value,
                        "messages": sum(record.messages for record in part),
                        **(_as_table(part) if listed else _as_lines(part[0])),
                        RECORDS_METADATA: [
                            json.loads(record.model_dump_json(exclude_defaults=True))
                            for record in part
                        ],
                    },
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
    if storage_ids is not None and not storage_ids:
        return []
    found = instance.fetch_observations(
        dg.AssetRecordsFilter(
            asset_key=key,
            after_storage_id=after,
            storage_ids=storage_ids,
            after_timestamp=since,
        ),
        limit=limit if storage_ids is None else len(storage_ids),
        ascending=True,
    ).records
    return [(item.storage_id, list(_records_of(item.asset_observation))) for item in found]


def catch_up(
    instance: dg.DagsterInstance,
    key: dg.AssetKey,
    inbox: Inbox,
    deadline: float,
    *,
    only_newer: bool = False,
) -> bool:
    """Sum up what was written since; returns whether that is all, or the deadline came first.

    The deadline is a time of `time.monotonic`. The last half minute is looked through again for
    observations that appeared late; `only_newer` leaves that to the next time.
    """
    closed_before = time.time() - _COMMIT_SECONDS
    after = inbox.newest if only_newer else inbox.read_until
    while True:
        found = instance.fetch_observations(
            dg.AssetRecordsFilter(asset_key=key, after_storage_id=after),
            limit=_OBSERVATIONS_PER_QUERY,
            ascending=True,
        ).records
        for item in found:
            after = item.storage_id
            inbox.add(after, _records_of(item.asset_observation))
            if item.timestamp < closed_before and not only_newer:
                inbox.close_until(after)
        if len(found) < _OBSERVATIONS_PER_QUERY:
            return True
        if time.monotonic() > deadline:
            return False


def _records_of(observation: dg.AssetObservation | None) -> Iterator[TriggerRecord]:
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
    return {"list": table(("drift event", "messages", "window end", "detail", "reason"), rows)}
