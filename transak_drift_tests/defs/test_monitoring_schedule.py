"""Each window is requested once, after its end, by any cron and after any pause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator

from transak_drift.config.monitoring_config import MonitoringConfig, parse_config
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import MONITORING_RUN, ModelNames, window_job
from transak_drift.defs.monitoring_schedule import MAX_WINDOWS_PER_TICK
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A schedule is evaluated with a persistent instance alone."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def instance(storage: dg.DagsterInstance) -> dg.DagsterInstance:
    storage.wipe()
    return storage


@cache
def repository_of(config: str) -> dg.RepositoryDefinition:
    return build_definitions(Settings(), [parse_config(config, "test")]).get_repository_def()


class Scheduler:
    """Does what Dagster's daemon does at each time: one tick, and a run for each request."""

    def __init__(self, instance: dg.DagsterInstance, config: MonitoringConfig) -> None:
        self.instance = instance
        self.config = config
        self.repository = repository_of(config.model_dump_json())
        self.schedule = self.repository.get_schedule_def(f"{window_job(config)}_schedule")
        self.said = ""

    def evaluate(self, at: datetime) -> list[dg.RunRequest]:
        with dg.build_schedule_context(
            instance=self.instance, repository_def=self.repository, scheduled_execution_time=at
        ) as context:
            data = self.schedule.evaluate_tick(context)
        self.said = data.skip_message or ""
        return list(data.run_requests or [])

    def tick(self, at: datetime, crash_after: int = 99) -> list[str]:
        """Return the partitions whose runs this tick makes; a crash leaves the rest to be asked."""
        made = []
        at_utc = at.astimezone(UTC).isoformat()
        for request in self.evaluate(at)[:crash_after]:
            identity = {
                "dagster/schedule_name": self.schedule.name,
                ".dagster/scheduled_execution_time": at_utc,
                "dagster/run_key": str(request.run_key),
            }
            assert request.run_key == request.partition_key
            if self.instance.get_runs(dg.RunsFilter(tags=identity)):
                continue
            tags = {**request.tags, **identity}
            self.instance.add_run(dg.DagsterRun(job_name=self.schedule.job_name, tags=tags))
            made.append(str(request.partition_key))
        return made

    def ticks(self, start: datetime, end: datetime) -> Iterable[datetime]:
        zone, cron = self.schedule.execution_timezone, self.schedule.cron_schedule
        assert isinstance(cron, str)
        for at in cron_string_iterator(start.timestamp(), cron, zone):
            if at >= end:
                return
            yield at

    def monitored(self, *partitions: str) -> None:
        """Record what a backfill has monitored."""
        asset = ModelNames.of(self.config).asset(MONITORING_RUN)
        for partition in partitions:
            event = dg.AssetMaterialization(asset, partition=partition)
            self.instance.report_runless_asset_event(event)


def scheduler_of(instance: dg.DagsterInstance, **changes: Any) -> Scheduler:
    return Scheduler(instance, configuration(start_date="2026-01-01", **changes))


@pytest.mark.parametrize(
    ("length", "cron", "zone"),
    [
        ("day", "0 */8 * * *", "America/New_York"),
        ("day", "0 9 * * mon-fri", "Europe/Zurich"),
        # Midnight itself, and a time of the day that summer time skips.
        ("day", "0 0 * * *", "Europe/Zurich"),
        ("day", "30 2 * * *", "Europe/Zurich"),
        ("week", "0 6 */3 * *", "Asia/Kathmandu"),
        ("month", None, "Europe/Zurich"),
        ("month", "30 0 */12 * *", "America/New_York"),
    ],
)
def test_each_ended_window_is_requested_once_across_summer_time(
    instance: dg.DagsterInstance, length: str, cron: str | None, zone: str
) -> None:
    scheduler = scheduler_of(
        instance, monitoring_window=length, time_zone=zone, schedule={"cron": cron}
    )
    assert scheduler.schedule.execution_timezone == zone
    windows, place = scheduler.config.windows, ZoneInfo(zone)
    # Summer time begins on 2026-03-08 in New York and on 2026-03-29 in Zurich.
    begin = datetime(2026, 3, 7 if zone == "America/New_York" else 27, tzinfo=place)
    end = begin + timedelta(days={"day": 4, "week": 20, "month": 95}[length])
    requested: list[str] = []
    for at in scheduler.ticks(begin, end):
        made = scheduler.tick(at)
        assert all(windows.bounds(windows.parse(key))[1] <= at for key in made)
        requested += made
        last = windows.newest_ended(at)
    first = windows.parse(requested[0])
    assert requested == [window.key for window in windows.between(first, last)]
    assert len(requested) >= 3


def test_the_schedule_has_a_time_zone_of_its_own(instance: dg.DagsterInstance) -> None:
    changes = {"schedule": {"cron": "0 1 * * *", "time_zone": "UTC"}, "time_zone": "Asia/Tokyo"}
    scheduler = scheduler_of(instance, **changes)
    [at] = scheduler.ticks(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    assert at == datetime(2026, 3, 1, 1, tzinfo=UTC)
    # In Tokyo it is ten o'clock: the day that has ended is the one before.
    assert scheduler.tick(at) == ["2026-02-28"]


def test_without_an_instance_the_newest_window_is_requested() -> None:
    config = configuration(monitoring_window="week")
    repository = repository_of(config.model_dump_json())
    at = datetime(2026, 8, 31, 3, tzinfo=UTC)
    with dg.build_schedule_context(
        repository_def=repository, scheduled_execution_time=at
    ) as context:
        schedule = repository.get_schedule_def("weekly_monitoring_schedule")
        [request] = schedule.evaluate_tick(context).run_requests or []
    assert request.partition_key == "2026-08-24"


def test_a_first_start_monitors_the_newest_window_alone(instance: dg.DagsterInstance) -> None:
    scheduler = scheduler_of(instance)
    assert scheduler.tick(datetime(2026, 11, 27, 3, tzinfo=UTC)) == ["2026-11-26"]
    assert scheduler.tick(datetime(2026, 11, 28, 3, tzinfo=UTC)) == ["2026-11-27"]


def test_no_window_before_start_date_is_requested(instance: dg.DagsterInstance) -> None:
    scheduler = scheduler_of(instance, monitoring_window="month")
    assert scheduler.tick(datetime(2026, 1, 31, 3, tzinfo=UTC)) == []
    assert "the first month from start_date on has not ended" in scheduler.said
    assert scheduler.tick(datetime(2026, 2, 1, tzinfo=UTC)) == ["2026-01"]


def test_what_ended_while_no_daemon_ran_follows_at_the_next_tick(
    instance: dg.DagsterInstance,
) -> None:
    scheduler = scheduler_of(instance)
    assert scheduler.tick(datetime(2026, 3, 2, 3, tzinfo=UTC)) == ["2026-03-01"]
    scheduler.monitored("2026-03-03")
    resumed = datetime(2026, 3, 6, 3, tzinfo=UTC)
    assert scheduler.tick(resumed) == ["2026-03-02", "2026-03-04", "2026-03-05"]
    assert scheduler.tick(resumed) == []
    assert scheduler.tick(resumed + timedelta(hours=6)) == []
    assert "2026-03-05, the last that has ended, was requested before" in scheduler.said


def test_a_tick_that_was_interrupted_goes_on(instance: dg.DagsterInstance) -> None:
    scheduler = scheduler_of(instance)
    scheduler.tick(datetime(2026, 3, 2, 3, tzinfo=UTC))
    at = datetime(2026, 3, 5, 3, tzinfo=UTC)
    assert scheduler.tick(at, crash_after=2) == ["2026-03-02", "2026-03-03"]
    # All are asked for, as a run may have been made and not launched.
    keys = [request.run_key for request in scheduler.evaluate(at)]
    assert keys == ["2026-03-02", "2026-03-03", "2026-03-04"]
    assert scheduler.tick(at + timedelta(days=1)) == ["2026-03-04", "2026-03-05"]


def test_a_long_pause_is_bounded_and_says_what_it_leaves_out(
    instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    scheduler = scheduler_of(instance)
    scheduler.tick(datetime(2026, 2, 2, 3, tzinfo=UTC))
    made = scheduler.tick(datetime(2026, 6, 1, 3, tzinfo=UTC))
    assert len(made) == MAX_WINDOWS_PER_TICK
    assert (made[0], made[-1]) == ("2026-05-01", "2026-05-31")
    assert "backfill --from 2026-02-02 --until 2026-04-30" in capfd.readouterr().err
