"""Rollbacks in the event log, and which windows are without drift of the present baseline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.recorded_reports import (
    RESULT_METADATA,
    quiet_windows,
    standing_baselines,
)
from transak_drift.defs.rollbacks import newest_rollback, write_rollback
from transak_drift.training.rollback import Rollback
from transak_drift_tests.trigger.drift_messages import MAY_1, monitoring_result

NAMES = ModelNames()


def day_end(day: int) -> datetime:
    return MAY_1 + timedelta(days=day)


def report(instance: dg.DagsterInstance, day: int, **distances: float | None) -> None:
    result = monitoring_result(f"job-{day}", distances, end=day_end(day))
    metadata = {RESULT_METADATA: dg.MetadataValue.json(result.model_dump(mode="json"))}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            NAMES.asset(keys.DRIFT_REPORT), partition=result.window.key, metadata=metadata
        )
    )


def quiet(instance: dg.DagsterInstance) -> dict[int, set[str]]:
    """Return the features without drift, by day."""
    return {
        (window.end - MAY_1).days: {feature for feature, _ in window.features}
        for window in quiet_windows(instance, NAMES)
    }


def test_a_window_is_quiet_by_its_newest_report_and_without_data_it_tells_nothing(
    instance: dg.DagsterInstance,
) -> None:
    report(instance, 1, type=0.6, description=0.1)
    report(instance, 2, type=None, description=0.1)
    report(instance, 3, type=0.1)
    report(instance, 3, type=0.6)
    assert quiet(instance) == {1: {"description"}, 2: {"description"}, 3: set()}


def test_what_was_compared_with_an_undone_baseline_is_no_quiet_window(
    instance: dg.DagsterInstance,
) -> None:
    for day in (1, 2, 3):
        report(instance, day, type=0.1)

    def learn(*days: int) -> None:
        for day in days:
            until = dg.MetadataValue.timestamp(day_end(day))
            key, metadata = NAMES.asset(keys.BASELINE_DATASET), {keys.TRAINED_UNTIL_METADATA: until}
            instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))

    learn(1, 2)
    assert standing_baselines(instance, NAMES) == [day_end(2), day_end(1)]
    assert newest_rollback(instance, NAMES) is None
    rollback = Rollback(
        champion_before="2",
        champion_after="1",
        by="ada",
        at=datetime.now(UTC),
        reason="wrong",
        undone_until=day_end(2),
        trained_until=day_end(1),
    )
    write_rollback(instance, NAMES, rollback)
    # Somebody else's observation of the same asset.
    other = dg.AssetObservation(
        NAMES.asset(keys.REGISTERED_MODEL), metadata={keys.ROLLBACK_METADATA: "no"}
    )
    instance.report_runless_asset_event(other)
    assert newest_rollback(instance, NAMES) == rollback
    assert quiet(instance) == {1: {"type"}}
    assert standing_baselines(instance, NAMES) == [day_end(1)]
    learn(2)
    assert standing_baselines(instance, NAMES) == [day_end(2), day_end(1)]
    report(instance, 3, type=0.1)
    report(instance, 4, type=0.1)
    assert quiet(instance) == {1: {"type"}, 3: {"type"}, 4: {"type"}}
