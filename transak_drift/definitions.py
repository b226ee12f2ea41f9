"""What Dagster loads: the definitions of every monitored model.

`TRANSAK_DRIFT_PLATFORM` picks the platform, everything else is shared.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from transak_drift.config.errors import ConfigError
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.approval import decision_job
from transak_drift.defs.drift_message_sensor import build_drift_message_sensor
from transak_drift.defs.drift_notification_sensor import build_drift_notification_sensor
from transak_drift.defs.gcp_resources import gcp_platform_resource
from transak_drift.defs.history import history_definitions
from transak_drift.defs.keys import DATA_GROUP, MONITORING_GROUP, TRAINING_GROUP
from transak_drift.defs.local_resources import local_platform_resource, local_trigger_queue_resource
from transak_drift.defs.message_way import build_message_way_check
from transak_drift.defs.monitoring import monitoring_definitions
from transak_drift.defs.monitoring_results_sensor import build_monitoring_results_sensor
from transak_drift.defs.platform_resource import PlatformResource, TriggerQueueResource
from transak_drift.defs.run_health import build_run_health_sensor
from transak_drift.defs.training import retrain_job, training_assets
from transak_drift.settings import Settings, load_settings

_KINDS = {
    "local": {
        DATA_GROUP: {"parquet"},
        MONITORING_GROUP: {"duckdb"},
        TRAINING_GROUP: {"scikitlearn"},
    },
    "gcp": {
        DATA_GROUP: {"bigquery"},
        MONITORING_GROUP: {"vertexai"},
        TRAINING_GROUP: {"vertexai"},
    },
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
    kinds = _KINDS[settings.platform]
    interval = settings.sensor_interval_seconds
    by_message = settings.trigger == "dagster"
    jobs: list[dg.JobDefinition] = []
    sensors = [build_run_health_sensor(interval, settings.heartbeat_seconds)]
    queues: dict[tuple[str, str], list[tuple[MonitoringConfig, dg.JobDefinition]]] = {}
    for config in configs:
        training = retrain_job(config)
        jobs.append(training)
        sensors.append(build_monitoring_results_sensor(config, interval, triggers=by_message))
        if by_message:
            jobs.append(decision_job(config))
        if config.notifications is not None:
            sensors.append(build_drift_notification_sensor(config, settings))
        queue = (config.project_id, config.trigger_subscription)
        queues.setdefault(queue, []).append((config, training))
    for sharing in queues.values() if by_message else ():
        models, trainings = zip(*sharing, strict=True)
        sensors.append(build_drift_message_sensor(models, trainings, interval))
    shared = dg.Definitions(
        assets=[asset for config in configs for asset in training_assets(config, kinds)],
        asset_checks=[build_message_way_check(config) for config in configs],
        jobs=jobs,
        sensors=sensors,
        resources={
            "platform": platform_resource(settings),
            "trigger_queue": trigger_queue_resource(settings),
        },
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(
        shared,
        *(monitoring_definitions(config, kinds) for config in configs),
        *(history_definitions(config, kinds, interval) for config in configs),
    )


def platform_resource(settings: Settings) -> PlatformResource:
    """Return the platform that the settings pick; nothing is opened yet."""
    on_gcp = settings.platform == "gcp"
    return gcp_platform_resource(settings) if on_gcp else local_platform_resource(settings)


def trigger_queue_resource(settings: Settings) -> TriggerQueueResource:
    """Return the trigger queue of the platform that the settings pick."""
    if settings.platform == "gcp":
        account = settings.impersonate_service_account
        return TriggerQueueResource(impersonate_service_account=account)
    return local_trigger_queue_resource(settings)
