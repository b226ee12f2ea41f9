"""The instance settings that are deployed, on a real PostgreSQL, and the code location."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import (
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    ModelNames,
)
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import REPOSITORY, configuration
from transak_drift_tests.deployment.postgres_server import deployed_dagster_home
from transak_drift_tests.servers.ports import free_port, wait_for_port
from transak_drift_tests.warm_processes import WarmProcess, run_dagster

DAY = date(2026, 3, 3)


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("deployment") / "dagster_home"
    with (
        pytest.MonkeyPatch.context() as patch,
        deployed_dagster_home(directory, patch) as home,
    ):
        yield home


def test_runs_reports_and_checks_are_kept_in_postgres(dagster_home: Path, tmp_path: Path) -> None:
    config = configuration(start_date=str(DAY - timedelta(days=1)), maximum_training_days=2)
    definitions = build_definitions(
        Settings(home=tmp_path / "state", rows_per_day=300, drift_from=DAY), [config]
    )
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for job, partition in (("prepare_monitoring", None), ("daily_monitoring", str(DAY))):
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=partition
            )
            assert result.success
            run_id = result.run_id

    # A process that starts later finds what the former one left.
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert "Postgres" in type(instance.run_storage).__name__
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.SUCCESS
        key = ModelNames().asset(DRIFT_REPORT)
        [record] = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[str(DAY)]), limit=5
        ).records
        assert record.asset_materialization is not None
        metadata = record.asset_materialization.metadata
        assert str(metadata["verdict"].value).startswith("drift in description")
        assert str(metadata[JOB_NAME_METADATA].value).startswith("projects/")
    assert not list(dagster_home.rglob("*.db")), "nothing is kept in SQLite"


def test_the_code_location_serves_the_project_and_answers_its_health_check(
    dagster_home: Path, tmp_path: Path
) -> None:
    """By the very command, health check and workspace of the compose file, on loopback."""
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))
    service = compose["services"]["code_location"]
    port, log = free_port(), tmp_path / "log"
    home = {"DAGSTER_HOME": str(dagster_home), "TRANSAK_DRIFT_HOME": str(tmp_path / "state")}

    def dagster(*words: str) -> WarmProcess:
        assert words[0] == "dagster"
        changed = {"--port=4000": f"--port={port}", "--host=0.0.0.0": "--host=127.0.0.1"}
        arguments = [changed.get(word, word) for word in words[1:]]
        environment = {**os.environ, **home}
        return WarmProcess(run_dagster, *arguments, environment=environment, log_file=log)

    health_check = service["healthcheck"]["test"][1:]
    assert dagster(*health_check).wait() != 0
    server = dagster(*service["command"])
    try:
        wait_for_port(port, server, log)
        assert dagster(*health_check).wait() == 0
        text = (REPOSITORY / "deployment" / "workspace.yaml").read_text(encoding="utf-8")
        workspace = tmp_path / "workspace.yaml"
        workspace.write_text(
            text.replace("host: code_location", "host: 127.0.0.1").replace("4000", str(port))
        )
        listing = dagster("dagster", "schedule", "list", "--workspace", str(workspace))
        assert listing.wait() == 0, log.read_text()
        assert "Schedule: daily_monitoring_schedule" in log.read_text()
    finally:
        server.kill()
