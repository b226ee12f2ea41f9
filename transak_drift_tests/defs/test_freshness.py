"""When reports are due by window and schedule, and what is overdue on a real Dagster instance."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest

from transak_drift.definitions import build_definitions
from transak_drift.defs import keys
from transak_drift.defs.freshness import (
    OverdueReport,
    overdue_reports,
    overdue_training,
    report_due,
    report_freshness,
)
from transak_drift.defs.keys import ModelNames
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.defs.past_events import materialization_at

NAMES = ModelNames()
ZURICH = {"time_zone": "Europe/Zurich"}


def record(instance: dg.DagsterInstance, asset: str, *partitions: str | None) -> None:
    for partition in partitions:
        event = dg.AssetMaterialization(NAMES.asset(asset), partition=partition)
        instance.report_runless_asset_event(event)


@pytest.mark.parametrize(
    ("settings", "key", "due", "longest"),
    [
        ({}, "2026-03-28", "2026-03-29T15:00", timedelta(hours=36)),
        # Of summer time, whose first day has 23 hours.
        (ZURICH, "2026-03-28", "2026-03-29T13:00", timedelta(hours=36)),
        ({"monitoring_window": "week"}, "2026-08-24", "2026-08-31T15:00", timedelta(7.5)),
        ({"monitoring_window": "month"}, "2026-08", "2026-09-01T15:00", timedelta(31.5)),
        # Several windows are monitored at one tick of a rarer schedule.
        (
            {"schedule": {"cron": "0 6 * * 1"}},
            "2026-08-26",
            "2026-08-31T18:00",
            timedelta(7.5),
        ),
        (
            {"monitoring_window": "month", "schedule": {"cron": "0 3 5 * *", **ZURICH}},
            "2026-12",
            "2027-01-05T14:00",
            # March has summer time, and an hour less.
            timedelta(31.5, hours=1),
        ),
    ],
)
def test_a_report_is_due_half_a_day_after_the_tick_that_follows_on_its_window(
    settings: dict[str, Any], key: str, due: str, longest: timedelta
) -> None:
    config = configuration(**settings)
    moment = datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert report_due(config, config.windows.parse(key)) == moment
    policy = report_freshness(config)
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.fail_window.to_timedelta() == longest


def test_the_assets_of_each_model_have_their_policies() -> None:
    config = configuration(monitoring_window="month", asset_prefix="transak_i2")
    graph = build_definitions(Settings(platform="local"), [config]).resolve_asset_graph()
    names = ModelNames.of(config)
    policies = {
        key: policy.fail_window.to_timedelta()
        for key in graph.get_all_asset_keys()
        if isinstance(policy := graph.get(key).freshness_policy, TimeWindowFreshnessPolicy)
    }
    assert policies == {
        names.asset(keys.DRIFT_REPORT): timedelta(31.5),
        names.asset(keys.MODEL_MONITOR): timedelta(1.5),
    }


@pytest.mark.parametrize(("hours", "state"), [(35, "PASS"), (37, "FAIL")])
def test_a_silent_monitor_fails_its_policy_as_dagsters_daemon_evaluates_it(
    instance: dg.DagsterInstance, hours: int, state: str
) -> None:
    graph = build_definitions(Settings(platform="local"), [configuration()]).resolve_asset_graph()
    report = NAMES.asset(keys.DRIFT_REPORT)
    moment = datetime.now(UTC) - timedelta(hours=hours)
    # The newest window's; of an older one it would count as well.
    event = dg.AssetMaterialization(report, partition="2026-03-03")
    instance.store_event(materialization_at(moment, event))
    evaluation = TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(
        context=LoadingContextForTest(instance), node=graph.get(report)
    )
    assert asyncio.run(evaluation).value == state


def test_a_window_without_a_report_is_overdue_once_it_is_due_and_never_before_the_first(
    instance: dg.DagsterInstance,
) -> None:
    config = configuration()
    now = datetime(2026, 3, 8, 14, tzinfo=UTC)
    since = now - timedelta(days=30)

    def overdue(since: datetime, now: datetime) -> list[str]:
        return [item.window.key for item in overdue_reports(instance, config, since, now)[0]]

    assert overdue(since, now) == [], "a fresh deployment"
    # A window's run is no report; a key of months is another configuration's.
    record(instance, keys.MONITORING_RUN, "2026-03-02", "2026-03-05")
    record(instance, keys.DRIFT_REPORT, "2026-03-03", "2026-03-06", "2026-01")
    assert overdue(since, now) == ["2026-03-04", "2026-03-05"]
    late, until = overdue_reports(instance, config, since, now)
    # That of the day before is due an hour later.
    assert until == datetime(2026, 3, 7, 15, tzinfo=UTC)
    due = [datetime(2026, 3, day, 15, tzinfo=UTC) for day in (5, 6)]
    assert late == [
        OverdueReport(config.windows.parse("2026-03-04"), due[0], is_started=False),
        OverdueReport(config.windows.parse("2026-03-05"), due[1], is_started=True),
    ]
    assert overdue(until, now) == []
    assert overdue(until, now + timedelta(hours=1)) == ["2026-03-07"]
    assert overdue(due[0], due[1]) == ["2026-03-05"]
    assert overdue_reports(instance, config, until, now)[1] == until


def test_months_come_to_be_overdue_as_days_do(instance: dg.DagsterInstance) -> None:
    config = configuration(monitoring_window="month", **ZURICH)
    record(instance, keys.DRIFT_REPORT, "2026-05", "2026-07")
    now = datetime(2026, 9, 1, 13, tzinfo=UTC)
    late, until = overdue_reports(instance, config, now - timedelta(days=100), now)
    assert [item.window.key for item in late] == ["2026-06", "2026-08"]
    assert until == now


def test_no_training_is_overdue_once_an_interval_and_counts_from_the_last(
    instance: dg.DagsterInstance,
) -> None:
    config = configuration(expected_training_interval_days=30)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    now = datetime.now(UTC)
    assert overdue_training(instance, config, long_ago, now) is None, "a fresh deployment"
    record(instance, keys.REGISTERED_MODEL, None)
    [found] = instance.fetch_materializations(NAMES.asset(keys.REGISTERED_MODEL), limit=1).records
    first = datetime.fromtimestamp(found.timestamp, UTC)
    # Materialized again, the model is no younger.
    record(instance, keys.REGISTERED_MODEL, None)

    def after(days: float, since: datetime = long_ago) -> tuple[datetime, int] | None:
        moment = first + timedelta(days=days)
        training = overdue_training(instance, config, since, moment)
        return (training.due, training.intervals) if training else None

    month = first + timedelta(days=30)
    assert after(29.9) is None
    assert after(30) == after(59.9) == (month, 1)
    assert after(59.9, since=month) is None
    assert after(60, since=month) == (month + timedelta(days=30), 2)
    assert after(200, since=month) == (first + timedelta(days=180), 6)
    record(instance, keys.TRAINED_MODEL, None)
    training = overdue_training(instance, config, long_ago, now + timedelta(days=31))
    assert training is not None
    assert training.last > first
    off = configuration()
    assert overdue_training(instance, off, long_ago, now + timedelta(days=999)) is None


def test_the_configuration_is_applied_each_night_once_it_was_applied(tmp_path: Path) -> None:
    definitions = build_definitions(Settings(platform="local"), [configuration()])
    schedule = definitions.get_repository_def().get_schedule_def("model_monitor_schedule")
    assert schedule.cron_schedule == "30 2 * * *"
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def tick() -> dg.ScheduleExecutionData:
            night = datetime(2026, 3, 8, 2, 30, tzinfo=UTC)
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=night
            ) as context:
                return schedule.evaluate_tick(context)

        assert "run prepare_monitoring" in (tick().skip_message or "")
        record(instance, keys.MODEL_MONITOR, None)
        assert len(tick().run_requests or []) == 1
    assert schedule.job_name == "apply_model_monitor"
