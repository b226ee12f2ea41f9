"""Several models: a dropped-in file gives its assets, sensor and training, and no other's."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import dagster as dg

from transak_drift.config.model_configs import MODELS_FOLDER
from transak_drift.definitions import build_definitions, platform_resource, trigger_queue_resource
from transak_drift.defs.keys import DRIFT_EVENT, ModelNames
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import document
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.trigger.drift_messages import store_job

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


def load(directory: Path) -> Settings:
    """Write three models, of which two share a subscription and one has its own."""
    folder = directory / MODELS_FOLDER
    folder.mkdir()
    file = directory / "monitoring_config.json"
    start = {"start_date": str(date(2026, 3, 2))}
    file.write_text(json.dumps(document(**start)))
    (folder / "transak-i2.json").write_text(json.dumps(document(**start, **SECOND)))
    (folder / "cards.json").write_text(json.dumps(document(**start, **OWN_QUEUE)))
    return Settings(config=file, home=directory / "state")


def test_each_file_gives_assets_jobs_checks_schedule_and_monitor(tmp_path: Path) -> None:
    settings = load(tmp_path)
    repository = build_definitions(settings, settings.load_configs()).get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    own = {key for key in keys if "/" not in key}
    assert keys == own | {f"{prefix}/{key}" for prefix in ("transak_i2", "cards") for key in own}
    models = ("", "transak_i2_", "cards_")
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {f"{model}retrain" for model in models} <= jobs
    schedules = {schedule.name for schedule in repository.schedule_defs}
    each = ("daily_monitoring_schedule", "model_monitor_schedule")
    assert schedules == {f"{model}{name}" for model in models for name in each}
    checks = {check.to_user_string() for check in repository.asset_graph.asset_check_keys}
    assert "cards/drift_report:description_drift" in checks


def test_drift_of_one_model_trains_it_and_no_other(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = load(tmp_path)
    first, *others = settings.load_configs()
    definitions = build_definitions(settings, [first, *others])
    trigger_queue = trigger_queue_resource(settings)
    resources = {"trigger_queue": trigger_queue, "platform": platform_resource(settings)}
    for config in others:
        with trigger_queue.open(config) as queue:
            queue.publish(store_job(settings.home, config))

    requested = {}
    for name in (SHARED_SENSOR, OWN_SENSOR):
        ticks = SensorTicks(instance, definitions.resolve_sensor_def(name), resources)
        [request] = ticks.tick().run_requests or []
        requested[name] = request.job_name
    assert requested == {SHARED_SENSOR: "transak_i2_retrain", OWN_SENSOR: "cards_retrain"}

    fetch = instance.fetch_observations
    recorded = {
        prefix: len(fetch(ModelNames(prefix).asset(DRIFT_EVENT), limit=9).records)
        for prefix in (None, "transak_i2", "cards")
    }
    # Drift, and that a training is requested.
    assert recorded == {None: 0, "transak_i2": 2, "cards": 2}
