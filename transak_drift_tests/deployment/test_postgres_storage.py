"""Dagster's storage in a real PostgreSQL, with the instance settings that are deployed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from transak_drift.config.monitoring_config import load_config
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import (
    DAILY_MONITORING_JOB,
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    ModelNames,
)
from transak_drift.settings import Settings
from transak_drift_tests.deployment.postgres_server import deployed_dagster_home

NAMES = ModelNames()

REPOSITORY = Path(__file__).parents[2]
DAY = date(2026, 3, 3)


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with deployed_dagster_home(tmp_path / "dagster_home", monkeypatch) as home:
        yield home


def test_runs_reports_and_checks_are_kept_in_postgres(dagster_home: Path, tmp_path: Path) -> None:
    config = load_config(REPOSITORY / "monitoring_config.json").model_copy(
        update={"start_date": DAY - timedelta(days=1), "maximum_training_days": 2}
    )
    definitions = build_definitions(
        Settings(home=tmp_path / "state", rows_per_day=300, drift_from=DAY), [config]
    )
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for job, partition in (("prepare_monitoring", None), (DAILY_MONITORING_JOB, str(DAY))):
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
        [record] = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=NAMES.asset(DRIFT_REPORT), asset_partitions=[str(DAY)]),
            limit=5,
        ).records
        assert record.asset_materialization is not None
        metadata = record.asset_materialization.metadata
        assert str(metadata["verdict"].value).startswith("drift in description")
        assert str(metadata[JOB_NAME_METADATA].value).startswith("projects/")
    assert not list(dagster_home.rglob("*.db")), "nothing is kept in SQLite"
