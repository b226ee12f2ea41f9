"""What Dagster loads: the definitions of every monitored model.

`TRANSAK_DRIFT_PLATFORM` picks the platform, everything else is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from transak_drift.config.errors import ConfigError
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_message_sensor import build_drift_message_sensor
from transak_drift.defs.drift_notification_sensor import build_drift_notification_sensor
from transak_drift.defs.history import history_definitions
from transak_drift.defs.keys import DATA_GROUP, MONITORING_GROUP, TRAINING_GROUP
from transak_drift.defs.message_way import build_message_way_check
from transak_drift.defs.monitoring import monitoring_definitions
from transak_drift.defs.monitoring_results_sensor import build_monitoring_results_sensor
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.run_health import build_run_health_sensor, heartbeat_executor
from transak_drift.defs.training import retrain_job, training_assets
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.settings import Settings, load_settings

_LOCAL_KINDS = {
    DATA_GROUP: {"parquet"},
    MONITORING_GROUP: {"duckdb"},
    TRAINING_GROUP: {"scikitlearn"},
}
_GCP_KINDS = {
    DATA_GROUP: {"bigquery"},
    MONITORING_GROUP: {"vertexai"},
    TRAINING_GROUP: {"vertexai"},
}


@dg.definitions
def defs() -> dg.Definitions:
    """Load the definitions; Dagster calls this once it needs them."""
    try:
        settings = load_settings()
        return build_definitions(settings, settings.load_configs())
    except ConfigError as error:
        # The error says what to fix; the frames that led to it would only hide it.
        raise error.with_traceback(None) from None


def build_definitions(settings: Settings, configs: Sequence[MonitoringConfig]) -> dg.Definitions:
    """Build everything Dagster needs for the monitored models, without a call."""
    retrain = {config.model_monitor_id: retrain_job(config) for config in configs}
    kinds = _LOCAL_KINDS if settings.platform == "local" else _GCP_KINDS
    interval = settings.sensor_interval_seconds
    shared = dg.Definitions(
        assets=[asset for config in configs for asset in training_assets(config, kinds)],
        asset_checks=[build_message_way_check(config) for config in configs],
        jobs=list(retrain.values()),
        sensors=[
            *_message_sensors(settings, configs, retrain),
            *(
                build_monitoring_results_sensor(
                    config, interval, triggers=settings.trigger == "dagster"
                )
                for config in configs
            ),
            *(
                build_drift_notification_sensor(config, settings)
                for config in configs
                if config.notifications is not None
            ),
            build_run_health_sensor(interval, settings.heartbeat_seconds),
        ],
        resources={
            "platform": platform_resource(settings),
            "trigger_queue": trigger_queue_resource(settings),
        },
        executor=heartbeat_executor(settings.heartbeat_seconds),
    )
    return dg.Definitions.merge(
        shared,
        *(monitoring_definitions(config, kinds) for config in configs),
        *(history_definitions(config, kinds, interval) for config in configs),
    )


def _message_sensors(
    settings: Settings, configs: Sequence[MonitoringConfig], retrain: Mapping[str, dg.JobDefinition]
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


def platform_resource(settings: Settings) -> PlatformResource:
    """Return the platform that the settings pick; nothing is opened yet."""
    if settings.platform == "gcp":
        from transak_drift.defs.gcp_resources import gcp_platform_resource

        return gcp_platform_resource(settings)
    from transak_drift.defs.local_resources import local_platform_resource

    return local_platform_resource(settings)


def trigger_queue_resource(settings: Settings) -> TriggerQueueResource:
    """Return the trigger queue of the platform that the settings pick."""
    if settings.platform == "gcp":
        from transak_drift.defs.gcp_resources import gcp_trigger_queue_resource

        return gcp_trigger_queue_resource(settings)
    from transak_drift.defs.local_resources import local_trigger_queue_resource

    return local_trigger_queue_resource(settings)
