"""What an instance of the function builds once, before its first message."""

from __future__ import annotations

import os
from pathlib import Path

from transak_drift.cloud_function.drift_message_handler import DriftMessageHandler
from transak_drift.cloud_function.structured_log import structured_logger, with_fields
from transak_drift.cloud_function.training_launch import VertexTrainingLauncher
from transak_drift.core.config import MonitoringConfig, load_config
from transak_drift.core.config_errors import ConfigError, ConfigFault
from transak_drift.platforms.pubsub.connection import connect
from transak_drift.platforms.pubsub.trigger_queue import TriggerQueue
from transak_drift.platforms.vertex.call_limits import CallLimits
from transak_drift.platforms.vertex.connection import VertexConnection
from transak_drift.platforms.vertex.endpoint import VertexEndpoint

CONFIG_VARIABLE = "TRANSAK_DRIFT_CONFIG"
VERTEX_ENDPOINT_VARIABLE = "TRANSAK_DRIFT_VERTEX_ENDPOINT"
PUBSUB_ENDPOINT_VARIABLE = "PUBSUB_EMULATOR_HOST"

# A launch makes a handful of calls and must end within the function's 120 seconds; what takes
# longer is tried again with the next delivery.
_LIMITS = CallLimits(attempt_seconds=10.0, total_seconds=20.0)


def build_handler() -> DriftMessageHandler:
    """Read the configuration and connect; no call is made yet.

    Returns:
        The handler of every message that this instance gets.

    Raises:
        ConfigError: the configuration is missing or wrong, or names no training pipeline.
        PlatformError: the endpoint of Vertex AI is not `host:port`.
    """
    logger = structured_logger()
    path = Path(os.environ.get(CONFIG_VARIABLE) or "monitoring_config.json")
    try:
        config = load_config(path)
        _require_template(config, path)
    except ConfigError as error:
        logger.critical("the function cannot start: %s", error)
        raise
    _tell_what_is_not_honoured(config)
    endpoint = VertexEndpoint(
        config.project_id,
        config.location,
        address=os.environ.get(VERTEX_ENDPOINT_VARIABLE) or None,
    )
    return DriftMessageHandler(
        config=config,
        launch=VertexTrainingLauncher(VertexConnection(endpoint, _LIMITS), config),
        queue=TriggerQueue(connect(os.environ.get(PUBSUB_ENDPOINT_VARIABLE) or None), config),
        logger=logger,
    )


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


def _tell_what_is_not_honoured(config: MonitoringConfig) -> None:
    policy = config.retrain_policy
    if policy.cooldown_minutes > 0:
        structured_logger().warning(
            "retrain_policy.cooldown_minutes is honoured by Dagster's sensor alone: the Cloud "
            "Function keeps no state",
            extra=with_fields(cooldown_minutes=policy.cooldown_minutes),
        )
