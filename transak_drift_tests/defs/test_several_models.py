"""Several models: a dropped-in file gives its assets, sensor and training, and no other's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.config.model_configs import MODELS_FOLDER
from transak_drift.definitions import build_definitions, platform_resource, trigger_queue_resource
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import document
from transak_drift_tests.defs.sensor_ticks import SensorTicks

START = date(2026, 3, 2)
DRIFT_DAY = START + timedelta(days=2)
SHARED_SENSOR = "drift_message_sensor"
OWN_SENSOR = "drift_message_sensor_ps_cards_subscription"
SECOND = {
    "model_name": "transak-i2-train-model",
    "monitoring_job_display_name": "transak_i2_data_drift_monitor",
}
OWN_QUEUE = {
    "model_name": "cards",
    "monitoring_job_display_name": "cards",
    "trigger_topic": "ps-cards",
}


class Deployment:
    """Three models on the local platform: two share a subscription, one has its own."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        small = {"start_date": str(START), "maximum_training_days": 3}
        self.file = directory / "monitoring_config.json"
        folder = directory / MODELS_FOLDER
        folder.mkdir()
        self.file.write_text(json.dumps(document(**small)))
        (folder / "transak-i2.json").write_text(json.dumps(document(**small, **SECOND)))
        (folder / "cards.json").write_text(json.dumps(document(**small, **OWN_QUEUE)))
        settings = Settings(
            config=self.file, home=directory / "state", rows_per_day=600, drift_from=DRIFT_DAY
        )
        self.instance = instance
        configs = settings.load_configs()
        resources = {
            "trigger_queue": trigger_queue_resource(settings),
            "platform": platform_resource(settings),
        }
        self.definitions = build_definitions(settings, configs)
        self.sensors = {
            name: SensorTicks(instance, self.definitions.resolve_sensor_def(name), resources)
            for name in (SHARED_SENSOR, OWN_SENSOR)
        }

    def run(self, job: str, **options: Any) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, **options
        )

    def tick(self, sensor: str) -> list[dg.RunRequest]:
        return list(self.sensors[sensor].tick().run_requests or [])

    def train(self, request: dg.RunRequest) -> None:
        assert request.job_name is not None
        assert self.run(request.job_name, run_config=request.run_config, tags=request.tags).success


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Deployment(tmp_path_factory.mktemp("deployment"), instance)


def test_each_file_gives_assets_jobs_checks_schedule_and_monitor(deployment: Deployment) -> None:
    repository = deployment.definitions.get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    own = {key for key in keys if "/" not in key}
    assert keys == own | {f"{prefix}/{key}" for prefix in ("transak_i2", "cards") for key in own}
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"retrain", "transak_i2_retrain", "cards_retrain"} <= jobs
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "daily_monitoring_schedule",
        "transak_i2_daily_monitoring_schedule",
        "cards_daily_monitoring_schedule",
    }
    sensors = {sensor.name for sensor in repository.sensor_defs}
    assert {SHARED_SENSOR, OWN_SENSOR} <= sensors
    checks = {check.to_user_string() for check in repository.asset_graph.asset_check_keys}
    assert "cards/drift_report:description_drift" in checks


def test_drift_of_one_model_trains_it_and_no_other(deployment: Deployment) -> None:
    for job in ("transak_i2_prepare_monitoring", "cards_prepare_monitoring"):
        deployment.run(job)
    deployment.run("transak_i2_daily_monitoring", partition_key=str(DRIFT_DAY))
    deployment.run("cards_daily_monitoring", partition_key=str(DRIFT_DAY))

    [cards] = deployment.tick(OWN_SENSOR)
    [second] = deployment.tick(SHARED_SENSOR)
    assert (second.job_name, cards.job_name) == ("transak_i2_retrain", "cards_retrain")
    deployment.train(second)
    assert deployment.tick(SHARED_SENSOR) == []

    prefixes = (None, "transak_i2", "cards")
    get_latest = deployment.instance.get_latest_materialization_event
    trained = {p for p in prefixes if get_latest(ModelNames(p).asset(TRAINED_MODEL))}
    assert trained == {"transak_i2"}
    fetch = deployment.instance.fetch_observations
    recorded = {p: len(fetch(ModelNames(p).asset(DRIFT_EVENT), limit=9).records) for p in prefixes}
    # Of the second: drift, requested, started; of the third, which no daemon launched, two.
    assert recorded == {None: 0, "transak_i2": 3, "cards": 2}
