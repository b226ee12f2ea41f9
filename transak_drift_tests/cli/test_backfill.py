"""Past days in one command, on a real Dagster instance and transactions of the user's own."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import Result

from transak_drift.cli.backfill import BACKFILL_TAG, asked_windows, windows_to_monitor
from transak_drift.config.errors import ConfigError
from transak_drift.defs.keys import (
    DRIFT_HISTORY_JOB,
    DRIFT_REPORT,
    PREPARE_JOB,
    ModelNames,
)
from transak_drift_tests.cli.commands import call
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.windows import day_window

NAMES = ModelNames()
FIRST = date(2026, 3, 2)
# The first half of the days with transactions is the baseline.
AVAILABLE = [FIRST + timedelta(days=n) for n in (0, 1, 3, 4)]
DAYS = [FIRST + timedelta(days=n) for n in (1, 2, 3, 4)]
# So many that none comes to its end before a signal does.
LONG = [FIRST + timedelta(days=n) for n in range(1, 50)]
EMPTY, DRIFTED, BROKEN = DAYS[1], DAYS[2], DAYS[3]
CONFIG = configuration()


def write_transactions(path: Path, days: Sequence[date]) -> None:
    """Write days of which one drifts."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("date", "description", "type"))
        for day in days:
            coop = 90 if day == DRIFTED else 50
            for number in range(100):
                writer.writerow((day, "Coop" if number < coop else "Migros", "Card"))


@pytest.fixture(autouse=True)
def _transactions(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_transactions(project / "transactions.csv", AVAILABLE)
    monkeypatch.setenv("TRANSAK_DRIFT_TRANSACTIONS", "transactions.csv")


def backfill(*further: str) -> Result:
    return call("backfill", "--from", str(DAYS[0]), "--until", str(DAYS[-1]), *further)


def instance_of(project: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(project / "state" / "dagster_home"))


def runs(project: Path, job: str) -> list[dg.DagsterRun]:
    with instance_of(project) as instance:
        return list(instance.get_runs(dg.RunsFilter(job_name=job)))


def test_each_day_is_monitored_once_and_a_day_that_fails_stops_no_other(project: Path) -> None:
    # Something lies where the day's transactions are kept.
    days = project / "state" / "models" / CONFIG.model_monitor_id / "transactions"
    days.mkdir(parents=True)
    (days / f"date={BROKEN}").touch()
    outcome = backfill("--json")
    assert outcome.exit_code == 1
    said = json.loads(outcome.stdout)
    assert said["failed"] == [str(BROKEN)]
    [failure] = [day for day in said["monitored"] if day["error"]]
    assert str(BROKEN) in failure["error"]
    assert [day["window"] for day in said["monitored"]] == [str(day) for day in DAYS]
    # A day without bookings, such as a weekend, is no failure.
    [empty] = [day for day in said["monitored"] if day["window"] == str(EMPTY)]
    assert [feature["distance"] for feature in empty["features"]] == [None, None]
    drifted = [day["window"] for day in said["monitored"] if day["drift_message"]]
    assert drifted == [str(DRIFTED)]
    sentences = {item["feature"]: item["summary"] for item in said["history"]}
    assert sentences == {
        "description": "drift of description began on 2026-03-05 (0.40 > 0.3) and still stands",
        "type": "no window has drift of type",
    }
    # One run that the UI shows, and the history was refreshed once.
    [run] = runs(project, "daily_monitoring")
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert run.tags[BACKFILL_TAG] == f"{DAYS[0]}..{DAYS[-1]}"
    assert len(runs(project, PREPARE_JOB)) == len(runs(project, DRIFT_HISTORY_JOB)) == 1
    page = (project / "state").rglob("drift_history.html")
    assert "0.40 &gt; 0.3" in next(page).read_text(encoding="utf-8")

    # Again: only the day without a report is looked at, and nothing is prepared anew.
    result = backfill()
    assert result.exit_code == 1
    assert "0 day(s) monitored, 3 left out" in result.stdout
    assert "1 failed" in result.stdout
    assert f"{BROKEN} failed (run " in result.stderr
    assert sentences["description"] in result.stdout
    assert len(runs(project, "daily_monitoring")) == 2
    assert len(runs(project, PREPARE_JOB)) == len(runs(project, DRIFT_HISTORY_JOB)) == 1


def test_an_interrupted_backfill_goes_on_where_it_was(project: Path) -> None:
    write_transactions(project / "transactions.csv", [FIRST, *LONG])
    command = [str(Path(sys.executable).with_name("transak-drift")), "backfill"]
    process = subprocess.Popen(
        [*command, "--from", str(DAYS[0]), "--until", str(LONG[-1])],
        # As of a shell's job in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(str(DAYS[0])):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    assert "Traceback" not in errors

    with instance_of(project) as instance:
        before = instance.get_materialized_partitions(NAMES.asset(DRIFT_REPORT))
        assert str(DAYS[0]) in before
        left = windows_to_monitor(
            instance, NAMES, list(map(day_window, LONG)), again=False, results_follow=False
        )
        assert str(LONG[-1]) not in before
        assert [window.key for window in left.reported] == sorted(before)
        assert [window.key for window in left.due] == sorted({str(day) for day in LONG} - before)
        # No day was broken off.
        runs = instance.get_runs(dg.RunsFilter(job_name="daily_monitoring"))
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_a_model_that_cannot_be_prepared_fails_at_once(project: Path) -> None:
    in_the_way = project / "state" / "models" / CONFIG.model_monitor_id / "transactions"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    result = backfill()
    assert result.exit_code == 1
    assert result.stderr.startswith("job prepare_monitoring failed, run ")
    assert "Not a directory" in result.stderr
    assert runs(project, "daily_monitoring") == []


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ask(length: str = "day", **given: Any) -> list[date]:
    asked = {"first": None, "last": None, "number": None, "single": None, **given}
    start = "2026-01-01" if length == "day" else "2024-01-01"
    config = configuration(monitoring_window=length, start_date=start)
    return [window.first_day for window in asked_windows(config, **asked, now=NOW)]


def test_the_days_end_yesterday_and_are_sixty_at_most_unless_told_otherwise() -> None:
    assert ask(number=3) == [date(2026, 2, 26), date(2026, 2, 27), date(2026, 2, 28)]
    assert ask(last="2026-01-02", number=2) == [date(2026, 1, 1), date(2026, 1, 2)]
    assert ask(first="2026-02-27") == [date(2026, 2, 27), date(2026, 2, 28)]
    # As many as there are: from start_date to the end of February.
    assert len(ask()) == 59
    with pytest.raises(ConfigError, match="--windows = 60: begins with 2025-12-31"):
        ask(number=60)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"number": 60}, ("start_date (2026-01-01)", "--windows 59 or --from 2026-01-01")),
        ({"first": "2025-12-01"}, ("--from", "2025-12-01", "--windows 59")),
        ({"last": "2026-03-01"}, ("--until", "not over yet", "2026-02-28")),
        ({"last": "2025-05-01"}, ("--until", "2025-05-01", "from 2026-01-01 on")),
        ({"first": "2026-02-09", "last": "2026-02-08"}, ("--from", "after the last day")),
        ({"first": "2026-02-09", "number": 4}, ("--windows = 4", "together with --from")),
    ],
)
def test_a_range_that_cannot_be_is_refused_with_what_to_ask_for(
    given: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(**given)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("length", "given", "first", "last", "number"),
    [
        ("day", {"single": "2026-02-27"}, "2026-02-27", "2026-02-27", 1),
        ("week", {}, "2025-08-25", "2026-02-16", 26),
        ("week", {"number": 2}, "2026-02-09", "2026-02-16", 2),
        ("week", {"single": "2026-W08"}, "2026-02-16", "2026-02-16", 1),
        # A day stands for its week or month.
        ("week", {"first": "2026-02-01", "last": "2026-02-10"}, "2026-01-26", "2026-02-09", 3),
        ("month", {}, "2025-03-01", "2026-02-01", 12),
        ("month", {"single": "2025-12"}, "2025-12-01", "2025-12-01", 1),
        ("month", {"first": "2025-11", "last": "2026-01-31"}, "2025-11-01", "2026-01-01", 3),
    ],
)
def test_weeks_and_months_are_asked_for_by_their_keys(
    length: str, given: dict[str, Any], first: str, last: str, number: int
) -> None:
    asked = ask(length, **given)
    assert (str(asked[0]), str(asked[-1]), len(asked)) == (first, last, number)


@pytest.mark.parametrize(
    ("length", "given", "words"),
    [
        ("month", {"single": "2026-01-05"}, ("--window", "is no month", "write a month as")),
        ("month", {"single": ""}, ("--window", "is no month")),
        ("month", {"single": "2026-03"}, ("--window", "is not over yet", "months up to 2026-02")),
        ("month", {"last": "2026-03-01"}, ("--until = ", "2026-03", "is not over yet")),
        ("month", {"first": "2026-13"}, ("--from", "is no month", "YYYY-MM")),
        ("week", {"single": "2026-02-17"}, ("--window", "is no week", "by its Monday")),
        ("week", {"single": "2026-W08", "number": 2}, ("--windows = 2", "with --window")),
        ("week", {"first": "2023-12-31"}, ("--from", "2023-12-25, before start_date", "112 or")),
        ("month", {"first": "2026-02", "last": "2026-01-31"}, ("turn the two months round",)),
        ("week", {"last": "9999-12-31"}, ("--until", "is no week")),
    ],
)
def test_what_is_no_week_or_month_is_refused(
    length: str, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(length, **given)
    for word in words:
        assert word in str(refused.value)
