"""The disk of the local platform is full: what was stored stays, and with room all is as ever."""

from __future__ import annotations

import resource
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

from transak_drift.local.platform import LocalPlatform
from transak_drift.local.transaction_generator import GeneratorSettings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.warm_processes import forked

DAY = date(2026, 1, 1)
CONFIG = configuration(maximum_training_days=2)


def one_day(root: Path) -> str:
    """Do everything that a day needs, and return what was found."""
    platform = LocalPlatform(
        root, GeneratorSettings(seed=7, rows_per_day=300), publish=lambda config, body: "1"
    )
    platform.ensure_registered_model(CONFIG)
    platform.apply_model_monitor(CONFIG)
    platform.land_transactions(CONFIG, DAY)
    platform.predict(CONFIG, DAY)
    started = platform.start_monitoring_run(CONFIG, DAY)
    result = platform.monitoring_result(CONFIG, started.job_name)
    assert result is not None
    return result.model_dump_json()


def test_each_kind_of_file_finds_no_room_once(tmp_path: Path) -> None:
    clean, full = tmp_path / "clean", tmp_path / "full"
    expected = run_with_room(clean, None)
    assert expected.startswith("{"), expected
    failures = []
    # At each limit a further kind of file finds room, so that each write in turn is the one that
    # fails; files of nearly one size are of one kind.
    room = 0.0
    for size in sorted(path.stat().st_size for path in clean.rglob("*") if path.is_file()):
        if size > 1.2 * room:
            room = size
            outcome = run_with_room(full, size - 1)
            if not outcome.startswith("{"):
                failures.append(outcome)
    assert len(failures) >= 5
    assert all("Error" in failure for failure in failures), failures
    assert run_with_room(full, None) == expected


def run_with_room(root: Path, largest_file: int | None) -> str:
    """Do a day's work in a process whose files cannot grow beyond a size."""
    ours, theirs = forked.Pipe()
    process = forked.Process(target=_run, args=(root, largest_file, theirs))
    process.start()
    theirs.close()
    outcome = ours.recv()
    process.join()
    return outcome


def _run(root: Path, largest_file: int | None, parent: Connection) -> None:
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    try:
        parent.send(one_day(root))
    except Exception as error:
        parent.send(f"{type(error).__name__}: {error}")
