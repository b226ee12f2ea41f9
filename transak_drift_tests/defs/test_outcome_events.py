"""Each outcome of a tick is recorded, one by one or in lists that stay readable."""

from __future__ import annotations

from collections import Counter

import dagster as dg
import pytest

from transak_drift.defs.outcome_events import MOST_SINGLE_OBSERVATIONS, outcome_events
from transak_drift.trigger.log_entry import RejectionReason
from transak_drift.trigger.message_assessment import Rejected
from transak_drift.trigger.messages import ReceivedMessage
from transak_drift.trigger.trigger_plan import DeadLetter, Outcome, OutcomeKind, TickPlan
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import drift_event

CONFIG = configuration()


def recorded(plan: TickPlan, column: str) -> Counter[str]:
    """Count how often each value is recorded, alone or in a list."""
    found: Counter[str] = Counter()
    for observation in outcome_events(plan, [CONFIG]):
        rows = observation.metadata.get("list")
        if isinstance(rows, dg.TableMetadataValue):
            assert len(rows.records) == observation.metadata["messages"].value
            assert len(rows.records) <= 100
            found.update(str(row.data[column]) for row in rows.records)
        else:
            found[str(observation.metadata[column].value)] += 1
    return found


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind != "dead-lettered"])
@pytest.mark.parametrize(
    "count", [1, MOST_SINGLE_OBSERVATIONS, MOST_SINGLE_OBSERVATIONS + 1, 100, 101, 350]
)
def test_every_event_is_recorded_once(kind: OutcomeKind, count: int) -> None:
    events = [drift_event(f"job-{number}") for number in range(count)]
    plan = TickPlan(outcomes=[Outcome(kind, event, f"detail {event.key}") for event in events])
    assert recorded(plan, "drift event") == Counter(event.key for event in events)
    assert recorded(plan, "detail") == Counter(f"detail {event.key}" for event in events)
    assert len(outcome_events(plan, [CONFIG])) <= max(MOST_SINGLE_OBSERVATIONS, -(-count // 100))
    assert {item.metadata["outcome"].value for item in outcome_events(plan, [CONFIG])} == {
        kind.value
    }


def test_every_dead_letter_is_recorded_with_its_reason() -> None:
    rejected = Rejected(RejectionReason.NOT_JSON, "no JSON")
    letters = [DeadLetter(ReceivedMessage(str(n), "ack", b"{"), rejected) for n in range(230)]
    plan = TickPlan(dead_letters=letters)
    assert recorded(plan, "message") == Counter(str(number) for number in range(230))
    assert recorded(plan, "reason") == {"not_json": 230}
    assert len(outcome_events(plan, [CONFIG])) == 3
