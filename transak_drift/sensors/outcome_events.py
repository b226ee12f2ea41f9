"""Outcomes of drift messages as observations of the asset `drift_event`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from transak_drift.assets.metadata import MOST_TABLE_ROWS, event_metadata, table
from transak_drift.assets.names import DRIFT_EVENT
from transak_drift.core.trigger_plan import Outcome, OutcomeKind, TickPlan

# Each observation is a write to Dagster's storage, which a burst of events would wait for.
MOST_SINGLE_OBSERVATIONS = 10


def outcome_events(plan: TickPlan) -> list[dg.AssetObservation]:
    """Write down what a tick decided.

    Args:
        plan: the tick's plan.

    Returns:
        One observation for each decision about a drift event. Of messages that are no drift, of
        dead letters, and of more than ten decisions of one kind, there are lists: one observation
        for each hundred, so that a flood stays readable and each is recorded.
    """
    observations: list[dg.AssetObservation] = []
    for kind in OutcomeKind:
        outcomes = [item for item in plan.outcomes if item.kind == kind and item.event is not None]
        if kind == OutcomeKind.NOT_DRIFT or len(outcomes) > MOST_SINGLE_OBSERVATIONS:
            observations += _lists(kind, _COLUMNS, [_row(outcome) for outcome in outcomes])
        else:
            observations += [_event_observation(outcome) for outcome in outcomes]
    letters = [
        (letter.message.message_id, str(letter.rejection.reason), letter.rejection.detail)
        for letter in plan.dead_letters
    ]
    observations += _lists(OutcomeKind.DEAD_LETTERED, ("message", "reason", "detail"), letters)
    return observations


_COLUMNS = ("drift event", "monitoring job", "messages", "window end", "detail")


def _row(outcome: Outcome) -> tuple[Any, ...]:
    event = outcome.event
    assert event is not None
    return (
        event.key,
        event.monitoring_job_id,
        outcome.messages,
        event.window_end.isoformat(),
        outcome.detail,
    )


def _event_observation(outcome: Outcome) -> dg.AssetObservation:
    event = outcome.event
    assert event is not None
    return dg.AssetObservation(
        asset_key=DRIFT_EVENT,
        description=f"{outcome.kind}: {outcome.detail}",
        metadata={
            "outcome": outcome.kind.value,
            "detail": outcome.detail,
            "messages": outcome.messages,
            **event_metadata(event),
        },
    )


def _lists(
    kind: OutcomeKind, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> Iterator[dg.AssetObservation]:
    for start in range(0, len(rows), MOST_TABLE_ROWS):
        part = rows[start : start + MOST_TABLE_ROWS]
        yield dg.AssetObservation(
            asset_key=DRIFT_EVENT,
            description=f"{kind}: {len(part)}",
            metadata={
                "outcome": kind.value,
                "messages": len(part),
                "list": table(columns, part),
            },
        )
