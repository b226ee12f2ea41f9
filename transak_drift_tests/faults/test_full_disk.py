"""The disk of the local platform is full: what was stored stays, and with room all is as ever."""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

from transak_drift.local.platform import LocalPlatform
from transak_drift.local.transaction_generator import GeneratorSettings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.warm_processes import forked
from transak_drift_tests.windows import day_window

DAY = date(2026, 1, 1)
CONFIG = configuration(maximum_training_days=2)


def one_day(root: Path, largest_file: int) -> str:
    """Do everything that a day needs where no file grows further, and return what was found."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    platform = LocalPlatform(
        root, GeneratorSettings(seed=7, rows_per_day=300), publish=lambda config, body: "1"
    )
    platform.ensure_registered_model(CONFIG)
    platform.apply_model_monitor(CONFIG)
    platform.land_transactions(CONFIG, day_window(DAY))
    platform.predict(CONFIG, day_window(DAY))
    started = platform.start_monitoring_run(CONFIG, day_window(DAY))
    result = platform.monitoring_result(CONFIG, started.job_name)
    assert result is not None
    return result.model_dump_json()


def run_in_a_process(root: Path, largest_file: int = resource.RLIM_INFINITY) -> str:
    with ProcessPoolExecutor(1, mp_context=forked) as pool:
        return pool.submit(one_day, root, largest_file).result()


def test_each_kind_of_file_finds_no_room_once(tmp_path: Path) -> None:
    clean, full = tmp_path / "clean", tmp_path / "full"
    expected = run_in_a_process(clean)
    failures = 0
    # At each limit a further kind of file finds room, so that each write in turn is the one that
    # fails; files of nearly one size are of one kind.
    room = 0.0
    for size in sorted(path.stat().st_size for path in clean.rglob("*") if path.is_file()):
        if size > 1.2 * room:
            room = size
            try:
                run_in_a_process(full, size - 1)
            except Exception as error:
                assert "Error" in type(error).__name__
                failures += 1
    assert failures >= 5
    assert run_in_a_process(full) == expected
