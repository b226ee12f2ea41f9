"""Outcomes of drift messages as observations of the asset `drift_event`."""

from __future__ import annotations

import dagster as dg

from transak_drift.assets.metadata import event_metadata, table
from transak_drift.assets.names import DRIFT_EVENT
from transak_drift.core.trigger_plan import Outcome, OutcomeKind, TickPlan


def outcome_events(plan: TickPlan) -> list[dg.AssetObservation]:
    """Write down what a tick decided.

    Args:
        plan: the tick's plan.

    Returns:
        One observation for each decision about a drift event; of messages that are no drift and
        of dead letters one observation for all, so that a flood of them stays readable.
    """
    observations = [
        _event_observation(outcome)
        for outcome in plan.outcomes
        if outcome.event is not None and outcome.kind != OutcomeKind.NOT_DRIFT
    ]
    not_drift = [item for item in plan.outcomes if item.kind == OutcomeKind.NOT_DRIFT]
    if not_drift:
        rows = table(
            ("monitoring job", "detail"),
            [
                (item.event.monitoring_job_id if item.event else "", item.detail)
                for item in not_drift
            ],
        )
        observations.append(_summary(OutcomeKind.NOT_DRIFT, len(not_drift), rows))
    if plan.dead_letters:
        rows = table(
            ("message", "reason", "detail"),
            [
                (
                    letter.message.message_id,
                    str(letter.rejection.reason),
                    letter.rejection.detail,
                )
                for letter in plan.dead_letters
            ],
        )
        observations.append(_summary(OutcomeKind.DEAD_LETTERED, len(plan.dead_letters), rows))
    return observations


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


def _summary(kind: OutcomeKind, count: int, rows: dg.TableMetadataValue) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=DRIFT_EVENT,
        description=f"{kind}: {count} message(s)",
        metadata={"outcome": kind.value, "messages": count, "list": rows},
    )
