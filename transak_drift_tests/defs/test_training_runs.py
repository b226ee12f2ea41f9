"""What Dagster's run storage says of trainings: their runs, those in flight, how far they got."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_EVENT_TAG,
    RETRAIN_JOB,
    TRAINED_MODEL,
    TRAINED_UNTIL_METADATA,
    ModelNames,
)
from transak_drift.defs.training_runs import find_training_runs, training_history
from transak_drift.trigger.retrain_policy import NO_HISTORY

NAMES = ModelNames()
IN_FLIGHT = {"NOT_STARTED", "STARTING", "STARTED", "CANCELING"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def add_run(instance: dg.DagsterInstance, event: str, status: dg.DagsterRunStatus) -> None:
    tags = {DRIFT_EVENT_TAG: event}
    run = dg.DagsterRun(job_name=RETRAIN_JOB, run_id=f"run-{event}", tags=tags, status=status)
    instance.add_run(run)


# A queued run needs a daemon's origin to be stored.
STATUSES = [status for status in dg.DagsterRunStatus if status != dg.DagsterRunStatus.QUEUED]


@pytest.mark.parametrize("status", STATUSES)
def test_a_run_is_in_flight_until_it_has_ended_also_while_it_is_cancelled(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    add_run(instance, "monitor/job-1", status)
    assert training_history(instance, NAMES).in_flight == (status.name in IN_FLIGHT)
    runs = find_training_runs(instance, ["monitor/job-1", "monitor/job-2"])
    assert runs.created == {"monitor/job-1"}
    assert bool(runs.launched) == (status != dg.DagsterRunStatus.NOT_STARTED)


def test_the_runs_of_many_events_are_found(instance: dg.DagsterInstance) -> None:
    events = [f"monitor/job-{number}" for number in range(700)]
    for event in events[::100]:
        add_run(instance, event, dg.DagsterRunStatus.SUCCESS)
    assert find_training_runs(instance, events).launched == set(events[::100])


def test_the_baseline_and_the_newest_model_say_how_far_they_reach(
    instance: dg.DagsterInstance,
) -> None:
    assert training_history(instance, NAMES) == NO_HISTORY
    ends = {BASELINE_DATASET: datetime(2026, 5, 1, tzinfo=UTC)}
    ends[TRAINED_MODEL] = datetime(2026, 5, 4, tzinfo=UTC)
    for name, end in ends.items():
        metadata = {TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(end)}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(NAMES.asset(name), metadata=metadata)
        )
    history = training_history(instance, NAMES)
    assert history.baseline_until == ends[BASELINE_DATASET]
    assert history.evaluated_until == ends[TRAINED_MODEL]
