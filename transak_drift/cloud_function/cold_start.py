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

CONFIG_VARIABLE = "TRANSAK_DRIFT_CONFIG"
VERTEX_ENDPOINT_VARIABLE = "TRANSAK_DRIFT_VERTEX_ENDPOINT"
PUBSUB_ENDPOINT_VARIABLE = "PUBSUB_EMULATOR_HOST"

# A launch makes a handful of calls and must end within the function's 120 seconds; what takes
# longer is tried again with the next delivery.
_LIMITS = CallLimits(attempt_seconds=10.0, total_seconds=20.0)


def build_handler() -> DriftMessageHandler:
    """Read the configurations of the models that share the topic and connect; no call is made yet.

    Returns:
        The handler of every message that this instance gets.

    Raises:
        ConfigError: a configuration is missing or wrong, names no training pipeline, or belongs to
            another topic.
        PlatformError: the endpoint of Vertex AI is not `host:port`.
    """
    logger = structured_logger()
    path = Path(os.environ.get(CONFIG_VARIABLE) or "monitoring_config.json")
    try:
        configs = load_configs(path)
        _require_one_queue(configs, path)
        for file, config in zip(config_files(path), configs, strict=True):
            _require_template(config, file)
    except ConfigError as error:
        logger.critical("the function cannot start: %s", error)
        raise
    for config in configs:
        _warn_of_what_is_not_honoured(config)
    return DriftMessageHandler(
        models=[
            TrainedModel(config, VertexMonitoringJobs(connection), connection)
            for config in configs
            for connection in [VertexConnection(_endpoint(config), _LIMITS)]
        ],
        # They share all of the queue, so that any of them names it.
        queue=TriggerQueue(connect(os.environ.get(PUBSUB_ENDPOINT_VARIABLE) or None), configs[0]),
        logger=logger,
    )


def _endpoint(config: MonitoringConfig) -> VertexEndpoint:
    return VertexEndpoint(
        config.project_id,
        config.location,
        address=os.environ.get(VERTEX_ENDPOINT_VARIABLE) or None,
    )


def _require_one_queue(configs: Sequence[MonitoringConfig], path: Path) -> None:
    first, *others = configs
    for file, config in zip(config_files(path)[1:], others, strict=True):
        # Models of one subscription have the topic and the dead letters in common as well.
        for setting in ("project_id", "trigger_subscription"):
            value, expected = getattr(config, setting), getattr(first, setting)
            if value != expected:
                problem = f"is not {expected!r}, that of the other models of this function"
                fix = "deploy a function for each trigger topic, as terraform/ does"
                raise ConfigError(str(file), [ConfigFault(setting, value, problem, fix)])


def _require_template(config: MonitoringConfig, path: Path) -> None:
    template = config.vertex.pipeline_template
    fault = None
    if template is None:
        fault = ConfigFault(
            "vertex.pipeline_template",
            None,
            "is not set",
            "name the compiled training pipeline, gs://bucket/path or in Artifact Registry",
        )
    elif "://" not in template and not Path(template).is_file():
        fault = ConfigFault(
            "vertex.pipeline_template",
            template,
            "is a local file that is not packed into the function",
            "copy the compiled pipeline to gs://bucket/path or to Artifact Registry",
        )
    if fault is not None:
        raise ConfigError(str(path), [fault])


def _warn_of_what_is_not_honoured(config: MonitoringConfig) -> None:
    policy = config.retrain_policy
    if policy.cooldown_minutes > 0:
        structured_logger().warning(
            "retrain_policy.cooldown_minutes is honoured by Dagster's sensor alone: the Cloud "
            "Function keeps no state",
            extra=with_fields(
                model_monitor=config.model_monitor_id, cooldown_minutes=policy.cooldown_minutes
            ),
        )
