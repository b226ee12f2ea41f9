"""Outcomes of drift messages as observations of the asset `drift_event`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.metadata import MOST_TABLE_ROWS, event_metadata, table
from transak_drift.defs.names import ModelNames
from transak_drift.trigger.trigger_plan import Outcome, OutcomeKind, TickPlan

# Each observation is a write to Dagster's storage, which a burst of events would wait for.
MOST_SINGLE_OBSERVATIONS = 10


def outcome_events(
    plan: TickPlan, configs: Sequence[MonitoringConfig]
) -> list[dg.AssetObservation]:
    """Write down what a tick decided.

    Args:
        plan: the tick's plan.
        configs: the models that share the subscription. What belongs to none of them, such as a
            dead letter, is written down at the first.

    Returns:
        One observation for each decision about a drift event. Of messages that are no drift, of
        dead letters, and of more than ten decisions of one kind, there are lists: one observation
        for each hundred, so that a flood stays readable and each is recorded.
    """
    observations: list[dg.AssetObservation] = []
    first = ModelNames.of(configs[0]).drift_event
    keys = {config.model_monitor_id: ModelNames.of(config).drift_event for config in configs}
    for kind in OutcomeKind:
        by_key: dict[dg.AssetKey, list[Outcome]] = {}
        for item in plan.outcomes:
            if item.kind == kind and item.event is not None:
                by_key.setdefault(keys.get(item.event.model_monitor_id, first), []).append(item)
        for key, outcomes in by_key.items():
            if kind == OutcomeKind.NOT_DRIFT or len(outcomes) > MOST_SINGLE_OBSERVATIONS:
                observations += _lists(key, kind, _COLUMNS, [_row(outcome) for outcome in outcomes])
            else:
                observations += [_event_observation(key, outcome) for outcome in outcomes]
    letters = [
        (letter.message.message_id, str(letter.rejection.reason), letter.rejection.detail)
        for letter in plan.dead_letters
    ]
    observations += _lists(
        first, OutcomeKind.DEAD_LETTERED, ("message", "reason", "detail"), letters
    )
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


def _event_observation(key: dg.AssetKey, outcome: Outcome) -> dg.AssetObservation:
    event = outcome.event
    assert event is not None
    return dg.AssetObservation(
        asset_key=key,
        description=f"{outcome.kind}: {outcome.detail}",
        metadata={
            "outcome": outcome.kind.value,
            "detail": outcome.detail,
            "messages": outcome.messages,
            **event_metadata(event),
        },
    )


def _lists(
    key: dg.AssetKey, kind: OutcomeKind, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> Iterator[dg.AssetObservation]:
    for start in range(0, len(rows), MOST_TABLE_ROWS):
        part = rows[start : start + MOST_TABLE_ROWS]
        yield dg.AssetObservation(
            asset_key=key,
            description=f"{kind}: {len(part)}",
            metadata={
                "outcome": kind.value,
                "messages": len(part),
                "list": table(columns, part),
            },
        )
