"""Many windows, quiet ones and some with a change: what chance explains trains nothing."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.definitions import build_definitions, platform_resource, trigger_queue_resource
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import DRIFT_EVENT, ModelNames
from transak_drift.defs.recorded_reports import read_drift_history
from transak_drift.settings import Settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.defs.sensor_ticks import SensorTicks

NAMES = ModelNames()
DAYS = [date(2026, 3, 2) + timedelta(days=n) for n in range(60)]
MERCHANTS = ["Coop", "Migros", "Denner", "SBB", "Lidl", "Aldi", "Spar", "Volg"]
SHARES = [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05]


def monitor(
    directory: Path, instance: dg.DagsterInstance, rows: int, days: list[date], changed: set[date]
) -> tuple[list[TriggerRecord], list[dg.RunRequest]]:
    """Monitor windows, and return what the sensors record and request."""
    random = np.random.default_rng(1)
    data = directory / "data"
    data.mkdir()
    baseline = random.choice(MERCHANTS, size=1_000, p=SHARES).tolist()
    (data / "baseline.csv").write_text("\n".join(["description", *baseline]))
    for day in days:
        drawn = random.choice(baseline, size=rows).tolist()
        if day in changed:
            drawn[: rows // 2] = ["SumUp *Kiosk"] * (rows // 2)
        (data / f"{day}.csv").write_text("\n".join(["description", *drawn]))
    config = configuration(
        transactions=str(data), start_date=str(days[0]), drift_thresholds={"description": 0.3}
    )
    settings = Settings(home=directory / "state", platform="local")
    definitions = build_definitions(settings, [config])
    resource = platform_resource(settings)
    resources = {"platform": resource, "trigger_queue": trigger_queue_resource(settings)}
    platform = resource.open(config)
    platform.ensure_registered_model(config)
    platform.apply_model_monitor(config)
    for day in days:
        window = config.windows.of_day(day)
        platform.land_transactions(config, window)
        platform.predict(config, window)
        platform.start_monitoring_run(config, window)
    requests = []
    for name in ("monitoring_results_sensor", "drift_message_sensor"):
        ticks = SensorTicks(instance, definitions.resolve_sensor_def(name), resources)
        requests += ticks.tick().run_requests or []
    found = read_records(instance, NAMES.asset(DRIFT_EVENT))
    return [record for _, records in found for record in records], requests


def test_of_windows_of_ten_rows_that_nothing_changed_in_none_trains(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    records, requests = monitor(tmp_path, instance, 10, DAYS, set())
    assert requests == []
    windows = read_drift_history(instance, NAMES).windows
    found = [item for window in windows for item in window.result.features]
    verdicts = Counter(item.verdict for item in found)
    assert verdicts["ok"] + verdicts["too few rows"] == len(DAYS)
    # Each was found and alerted of, and is recorded with its reason.
    assert {record.kind for record in records} == {OutcomeKind.NOT_DRIFT}
    assert len({record.key for record in records}) == verdicts["too few rows"]
    for record in records:
        assert "> 0.3 (too few rows: 10, minimum_target_rows asks for 20)" in record.detail
    # Of those, chance alone would have let a few train.
    bold = RetrainPolicy(minimum_target_rows=1)
    beyond = sum(item.judged(0.3, 10, bold).drifted for item in found)
    assert beyond < verdicts["too few rows"]


def test_a_change_of_half_the_rows_is_found_in_each_window_that_has_it(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    days = DAYS[:24]
    changed = set(days[3::6])
    records, requests = monitor(tmp_path, instance, 200, days, changed)
    starts = [item.event.window_start for item in records if item.event is not None]
    assert {start.date() for start in starts if start is not None} == changed
    # The others wait for it.
    assert len(requests) == 1
