"""A machine that dies in the middle of a training: the run is found, marked as failed, and tried
again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import dagster as dg
import pytest

from transak_drift.cli.dagster_home import make_dagster_home, write_workspace
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import (
    PREPARE_JOB,
    RETRAIN_JOB,
)
from transak_drift.settings import load_settings

REPOSITORY = Path(__file__).parents[2]
LIMIT_SECONDS = 240.0
ENVIRONMENT = {
    "TRANSAK_DRIFT_ROWS_PER_DAY": "300",
    "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "1",
    "TRANSAK_DRIFT_HEARTBEAT_SECONDS": "0.5",
}

Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found]) -> Found:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen in {LIMIT_SECONDS} s")


@contextmanager
def machine(workspace: Path) -> Generator[None]:
    """Run the daemon with everything that it starts, all in one process group."""
    daemon = subprocess.Popen(
        [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()


def test_a_training_whose_machine_dies_is_marked_as_failed_and_trains_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_dagster_home(tmp_path / "dagster_home")
    document = json.loads((REPOSITORY / "monitoring_config.json").read_text())
    config_file = tmp_path / "monitoring_config.json"
    config_file.write_text(json.dumps({**document, "maximum_training_days": 3}))
    for name, value in {
        **ENVIRONMENT,
        "DAGSTER_HOME": str(home),
        "TRANSAK_DRIFT_HOME": str(tmp_path / "state"),
        "TRANSAK_DRIFT_CONFIG": str(config_file),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    workspace = write_workspace(tmp_path)
    settings = load_settings()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        definitions = build_definitions(settings, settings.load_configs())
        assert (
            definitions.resolve_job_def(PREPARE_JOB).execute_in_process(instance=instance).success
        )

        def trainings() -> list[dg.DagsterRun]:
            return list(instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB)))

        def heartbeat(run_id: str) -> bool:
            key = f"transak_drift/heartbeat/{run_id}"
            return bool(instance.daemon_cursor_storage.get_cursor_values({key}))

        with machine(workspace):
            # As the launchpad does: nothing of the trigger is on the run.
            launch = [sys.executable, "-m", "dagster", "job", "launch"]
            subprocess.run(
                [*launch, "--workspace", str(workspace), "--job", RETRAIN_JOB],
                check=True,
                capture_output=True,
            )
            [run] = trainings()
            wait_for("the training's heartbeat", lambda: heartbeat(run.run_id))
        assert trainings()[0].status == dg.DagsterRunStatus.STARTED

        with machine(workspace):
            failed = wait_for(
                "the mark",
                lambda: (
                    (found := instance.get_run_by_id(run.run_id)) is not None
                    and found.status == dg.DagsterRunStatus.FAILURE
                ),
            )
            assert failed, "no heartbeat, and nobody marked it"
            again = wait_for(
                "the second training",
                lambda: [item for item in trainings() if item.parent_run_id == run.run_id],
            )
            wait_for(
                "its end",
                lambda: (
                    (found := instance.get_run_by_id(again[0].run_id)) is not None
                    and found.is_finished
                ),
            )
        # Of all the ticks, that one alone left a log.
        sensor_logs = [path for path in home.rglob("*.err") if "_sensor" in path.parent.name]
        assert [path.parent.name for path in sensor_logs] == ["run_health_sensor"]
        [end] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert "no heartbeat since" in str(end.get_dagster_event().message)
        assert [item.status for item in trainings()] == [
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
        ]
