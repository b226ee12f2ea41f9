"""A machine that dies in the middle of a training: the run is found, marked as failed, and tried
again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import PREPARE_JOB, RETRAIN_JOB
from transak_drift.local.model_registry import ModelRegistry
from transak_drift.local.state_directory import StateDirectory
from transak_drift.settings import Settings
from transak_drift_tests.end_to_end.running_loop import RunningLoop
from transak_drift_tests.warm_processes import run_dagster


def test_a_training_whose_machine_dies_is_marked_as_failed_and_trains_again(
    tmp_path: Path,
) -> None:
    with RunningLoop(tmp_path) as loop:
        instance = loop.instance
        loop.environment["TRANSAK_DRIFT_HEARTBEAT_SECONDS"] = "0.5"
        settings = Settings(home=loop.home, rows_per_day=300)
        prepare = build_definitions(settings, loop.configs).resolve_job_def(PREPARE_JOB)
        assert prepare.execute_in_process(instance=instance).success

        registry = ModelRegistry(StateDirectory(loop.home, loop.config).registry)
        loop.dagster.start_code_server()
        # As the launchpad does: nothing of the trigger is on the run.
        launch = ("job", "launch", "--workspace", str(loop.dagster.workspace), "--job", RETRAIN_JOB)
        assert loop.dagster.run(run_dagster, *launch).wait() == 0
        # Until the machine dies the training does not get as far as its end.
        with registry.training_lock():
            loop.start_daemon()
            [run] = loop.trainings()
            key = f"transak_drift/heartbeat/{run.run_id}"
            loop.wait_for(
                "the training's heartbeat",
                lambda: instance.daemon_cursor_storage.get_cursor_values({key}),
            )
            loop.dagster.kill()
        assert loop.trainings()[0].status == dg.DagsterRunStatus.STARTED

        loop.start_daemon()
        loop.wait_for(
            "the mark",
            lambda: instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])),
        )
        loop.wait_for(
            "the end of a second training",
            lambda: [
                r for r in loop.trainings() if r.parent_run_id == run.run_id and r.is_finished
            ],
        )
        # Of all the ticks, that one alone left a log.
        logs = [path for path in loop.dagster_home.rglob("*.err") if "_sensor" in path.parent.name]
        assert [path.parent.name for path in logs] == ["run_health_sensor"]
        [end] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert "no heartbeat since" in str(end.get_dagster_event().message)
        assert [item.status for item in loop.trainings()] == [
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
        ]
