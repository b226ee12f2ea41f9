"""The trigger's records in Dagster's event log: observations of the asset `drift_event`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from pydantic import ValidationError

from transak_drift.defs.keys import DECISION_JOB, DECISION_OPERATION, ModelNames
from transak_drift.defs.metadata import MAX_TABLE_ROWS, event_metadata, table
from transak_drift.reports.links import decision_page
from transak_drift.training.labels import LabelVerdict
from transak_drift.trigger.approval import AWAIT_A_PERSON, Decision, decision_command
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord

_RECORDS_METADATA = "records"
_COLUMNS = ("drift event", "messages", "window end", "detail", "reason")
_OBSERVATIONS_PER_QUERY = 200
# A writer's transaction may end after one that began later and has a greater storage id.
_COMMIT_SECONDS = 30.0


def write_records(
    instance: dg.DagsterInstance, key: dg.AssetKey, records: Sequence[TriggerRecord]
) -> None:
    """Write records, durable on return; up to a hundred of one kind are one observation.

    Each observation is a write to Dagster's storage, for which a burst of events would wait.
    """
    for kind in OutcomeKind:
        of_kind = [record for record in records if record.kind == kind]
        for start in range(0, len(of_kind), MAX_TABLE_ROWS):
            part = of_kind[start : start + MAX_TABLE_ROWS]
            described = part[0].detail if len(part) == 1 else len(part)
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    asset_key=key,
                    description=f"{kind}: {described}",
                    metadata={
                        "outcome": kind.value,
                        "messages": sum(record.messages for record in part),
                        **_shown(key, part),
                        _RECORDS_METADATA: [
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
    """Read records, oldest first, each list with the storage id of its observation."""
    chosen = dg.AssetRecordsFilter(asset_key=key, after_storage_id=after, after_timestamp=since)
    found = instance.fetch_observations(chosen, limit=limit, ascending=True).records
    return [(item.storage_id, list(_records_of(item))) for item in found]


def read_all_records(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[TriggerRecord]:
    """Read every record, oldest first."""
    after = None
    while found := read_records(instance, key, after=after):
        after, _ = found[-1]
        yield from (record for _, records in found for record in records)


def catch_up(instance: dg.DagsterInstance, key: dg.AssetKey, inbox: Inbox, deadline: float) -> bool:
    """Sum up what was written since; returns whether that is all, or the deadline came first.

    The deadline is a time of `time.monotonic`. The last half minute is read again the next time,
    for observations that appear late.
    """
    closed_before = time.time() - _COMMIT_SECONDS
    after = inbox.read_until
    while True:
        chosen = dg.AssetRecordsFilter(asset_key=key, after_storage_id=after)
        limit = _OBSERVATIONS_PER_QUERY
        found = instance.fetch_observations(chosen, limit=limit, ascending=True).records
        for item in found:
            after = item.storage_id
            inbox.add(_records_of(item))
            if item.timestamp < closed_before:
                inbox.read_until = after
        if len(found) < limit:
            return True
        if time.monotonic() > deadline:
            return False


def _records_of(observed: dg.EventLogRecord) -> Iterator[TriggerRecord]:
    # Others may record observations of another form.
    observation = observed.asset_observation
    value = observation.metadata.get(_RECORDS_METADATA) if observation else None
    items = value.value if isinstance(value, dg.JsonMetadataValue) else None
    for item in items if isinstance(items, list) else ():
        try:
            yield TriggerRecord.model_validate(item)
        except ValidationError:
            continue


def _shown(key: dg.AssetKey, records: Sequence[TriggerRecord]) -> dict[str, Any]:
    asked = [(x.event.window_end, x.key) for x in records if x.event and x.kind in AWAIT_A_PERSON]
    choices = _choices(key, asked)
    if len(records) == 1:
        [record] = records
        known = event_metadata(record.event) if record.event else {"drift event": record.key}
        if record.by:
            known |= {"decided by": record.by}
        if record.labels is not None:
            known |= _label_metadata(record.labels)
        return {"detail": record.detail, **known, **choices}
    ends = [record.event.window_end.isoformat() if record.event else "" for record in records]
    rows = [
        (record.key, record.messages, end, record.detail, record.reason)
        for record, end in zip(records, ends, strict=True)
    ]
    return {"list": table(_COLUMNS, rows), **choices}


def _label_metadata(labels: LabelVerdict) -> dict[str, Any]:
    unlabelled = [(item.name, item.rows) for item in labels.without_label]
    classes = [(item.name, item.rows) for item in labels.classes]
    return {
        "rows": labels.rows,
        "labelled rows": labels.labelled,
        "without a label": table((labels.value_column or "value", "rows"), unlabelled),
        "labels": table((labels.column, "rows"), classes),
    }


def _choices(key: dg.AssetKey, asked: Sequence[tuple[datetime, str]]) -> dict[str, Any]:
    """Return how the newest of the events that await a person is decided, which answers all."""
    if not asked:
        return {}
    _, newest = max(asked)
    names = ModelNames(*key.path[:-1])
    ids = (names.name(DECISION_JOB), names.name(DECISION_OPERATION), newest)
    commands = " | ".join(decision_command(choice, newest) for choice in Decision)
    return {
        **{str(it): dg.MetadataValue.url(decision_page(*ids, it)) for it in Decision},
        "or by command": commands,
    }
