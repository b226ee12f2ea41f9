"""Puts assets, jobs, sensor, schedule and resources of one platform together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_event import build_drift_event
from transak_drift.defs.drift_history import build_drift_history
from transak_drift.defs.drift_history_sensor import build_drift_history_sensor
from transak_drift.defs.drift_message_sensor import build_drift_message_sensor
from transak_drift.defs.drift_notification_sensor import build_drift_notification_sensor
from transak_drift.defs.drift_report import build_drift_report
from transak_drift.defs.jobs import (
    AssetJob,
    build_daily_monitoring_job,
    build_daily_schedule,
    build_drift_history_job,
    build_prepare_job,
    build_retrain_job,
)
from transak_drift.defs.message_way import build_message_way_check
from transak_drift.defs.model_monitor import build_model_monitor
from transak_drift.defs.monitoring_results_sensor import build_monitoring_results_sensor
from transak_drift.defs.monitoring_run import build_monitoring_run
from transak_drift.defs.names import daily_partitions
from transak_drift.defs.notification_resource import notification_resource
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.predictions import build_predictions
from transak_drift.defs.registered_model import build_registered_model
from transak_drift.defs.trained_model import build_trained_model
from transak_drift.defs.transactions import build_transactions
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.settings import Settings

_LOCAL_KINDS = {"data": {"parquet"}, "monitoring": {"duckdb"}, "training": {"scikitlearn"}}
_GCP_KINDS = {"data": {"bigquery"}, "monitoring": {"vertexai"}, "training": {"vertexai"}}


def assemble_definitions(settings: Settings, configs: Sequence[MonitoringConfig]) -> dg.Definitions:
    """Build everything Dagster needs for the monitored models.

    Args:
        settings: picks the platform.
        configs: the monitored models, at least one.

    Returns:
        The definitions. Nothing is read but the configuration, and no call is made.
    """
    retrain = {config.model_monitor_id: build_retrain_job(config) for config in configs}
    models = [_model_definitions(settings, config) for config in configs]
    shared = dg.Definitions(
        jobs=list(retrain.values()),
        sensors=[
            *_message_sensors(settings, configs, retrain),
            *_notification_sensors(settings, configs),
        ],
        resources={
            "platform": platform_resource(settings),
            "trigger_queue": trigger_queue_resource(settings),
            "notifications": notification_resource(settings),
        },
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(*models, shared)


def _model_definitions(settings: Settings, config: MonitoringConfig) -> dg.Definitions:
    kinds = _LOCAL_KINDS if settings.platform == "local" else _GCP_KINDS
    partitions = daily_partitions(config.start_date)
    daily = build_daily_monitoring_job(config)
    refresh = build_drift_history_job(config)
    sensors = [
        build_drift_history_sensor(config, refresh, settings.sensor_interval_seconds),
        build_monitoring_results_sensor(
            config, settings.sensor_interval_seconds, triggers=settings.trigger == "dagster"
        ),
    ]
    return dg.Definitions(
        assets=[
            build_transactions(config, partitions, kinds["data"]),
            build_registered_model(config, kinds["training"]),
            build_predictions(config, partitions, kinds["data"]),
            build_model_monitor(config, kinds["monitoring"]),
            build_monitoring_run(config, partitions, kinds["monitoring"]),
            build_drift_report(config, partitions, kinds["monitoring"]),
            build_drift_history(config, kinds["monitoring"]),
            build_drift_event(config),
            build_trained_model(config, kinds["training"]),
        ],
        asset_checks=[build_message_way_check(config)],
        jobs=[build_prepare_job(config), daily, refresh],
        schedules=[build_daily_schedule(config, daily)],
        sensors=sensors,
    )


def _message_sensors(
    settings: Settings, configs: Sequence[MonitoringConfig], retrain: Mapping[str, AssetJob]
) -> list[dg.SensorDefinition]:
    """Build one sensor for each trigger subscription."""
    if settings.trigger != "dagster":
        return []
    sharing: dict[tuple[str, str], list[MonitoringConfig]] = {}
    for config in configs:
        queue = (config.project_id, config.trigger_subscription)
        sharing.setdefault(queue, []).append(config)
    return [
        build_drift_message_sensor(
            models,
            [retrain[config.model_monitor_id] for config in models],
            settings.sensor_interval_seconds,
            on_google_cloud=settings.platform == "gcp",
        )
        for models in sharing.values()
    ]


def _notification_sensors(
    settings: Settings, configs: Sequence[MonitoringConfig]
) -> list[dg.SensorDefinition]:
    """Build one sensor for each model that says whom to tell."""
    return [
        build_drift_notification_sensor(
            config,
            settings.sensor_interval_seconds,
            dagster_url=settings.dagster_url,
            vertex=settings.platform == "gcp",
        )
        for config in configs
        if config.notifications is not None
    ]


def platform_resource(settings: Settings) -> PlatformResource:
    """Return the platform that the settings pick.

    Args:
        settings: the process's settings.

    Returns:
        The resource; nothing is opened yet.
    """
    if settings.platform == "gcp":
        from transak_drift.defs.gcp_resources import gcp_platform_resource

        return gcp_platform_resource(settings)
    from transak_drift.defs.local_resources import local_platform_resource

    return local_platform_resource(settings)


def trigger_queue_resource(settings: Settings) -> TriggerQueueResource:
    """Return the trigger queue of the platform that the settings pick.

    Args:
        settings: the process's settings.

    Returns:
        The resource; nothing is connected yet.
    """
    if settings.platform == "gcp":
        from transak_drift.defs.gcp_resources import gcp_trigger_queue_resource

        return gcp_trigger_queue_resource(settings)
    from transak_drift.defs.local_resources import local_trigger_queue_resource

    return local_trigger_queue_resource(settings)
