"""What an instance of the function builds once, before its first message."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from transak_drift.cloud_function.drift_message_handler import DriftMessageHandler, TrainedModel
from transak_drift.cloud_function.structured_log import structured_logger, with_fields
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.vertex.connection import CallLimits, VertexConnection, VertexEndpoint
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs

# A launch makes a handful of calls and must end within the function's 120 seconds; what takes
# longer is tried again with the next delivery.
_LIMITS = CallLimits(attempt_seconds=10.0, total_seconds=20.0)


def build_handler() -> DriftMessageHandler:
    """Read the configurations of the models that share the topic and connect; no call is made yet.

    Raises:
        ConfigError: a configuration is missing or wrong, names no training pipeline, or belongs to
            another topic.
        PlatformError: the endpoint of Vertex AI is not `host:port`.
    """
    logger = structured_logger()
    path = Path(os.environ.get("TRANSAK_DRIFT_CONFIG") or "monitoring_config.json")
    try:
        configs = load_configs(path)
        _check(configs, config_files(path))
    except ConfigError as error:
        logger.critical("the function cannot start: %s", error)
        raise
    for config in configs:
        cooldown = config.retrain_policy.cooldown_minutes
        if cooldown > 0:
            logger.warning(
                "retrain_policy.cooldown_minutes is honoured by Dagster's sensor alone: the Cloud "
                "Function keeps no state",
                extra=with_fields(model_monitor=config.model_monitor_id, cooldown_minutes=cooldown),
            )
    # They share all of the queue, so that any of them names it.
    queue = TriggerQueue(connect(os.environ.get("PUBSUB_EMULATOR_HOST") or None), configs[0])
    return DriftMessageHandler([_trained_model(config) for config in configs], queue, logger)


def _trained_model(config: MonitoringConfig) -> TrainedModel:
    address = os.environ.get("TRANSAK_DRIFT_VERTEX_ENDPOINT") or None
    endpoint = VertexEndpoint(config.project_id, config.location, address)
    connection = VertexConnection(endpoint, _LIMITS)
    return TrainedModel(config, VertexMonitoringJobs(connection), connection)


def _check(configs: Sequence[MonitoringConfig], files: Sequence[Path]) -> None:
    """Refuse models of several queues, and those without a pipeline that can be read here."""
    first = configs[0]
    for file, config in zip(files, configs, strict=True):
        # Models of one subscription have the topic and the dead letters in common as well.
        for setting in ("project_id", "trigger_subscription"):
            value, expected = getattr(config, setting), getattr(first, setting)
            if value != expected:
                problem = f"is not {expected!r}, that of the other models of this function"
                fix = "deploy a function for each trigger topic, as terraform/ does"
                raise ConfigError(str(file), [ConfigFault(setting, value, problem, fix)])
        template = config.vertex.pipeline_template
        if template is None:
            problem = "is not set"
            fix = "name the compiled training pipeline, gs://bucket/path or in Artifact Registry"
        elif "://" not in template and not Path(template).is_file():
            problem = "is a local file that is not packed into the function"
            fix = "copy the compiled pipeline to gs://bucket/path or to Artifact Registry"
        else:
            continue
        fault = ConfigFault("vertex.pipeline_template", template, problem, fix)
        raise ConfigError(str(file), [fault])
