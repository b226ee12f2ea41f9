"""What an instance of the function builds once, before its first message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from transak_drift.cloud_function.drift_message_handler import DriftMessageHandler, write_entry
from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.vertex.connection import CallLimits, VertexConnection

# A launch makes a handful of calls and must end within the function's 120 seconds; what takes
# longer is tried again with the next delivery.
_LIMITS = CallLimits(attempt_seconds=10.0, total_seconds=20.0)


def build_handler() -> DriftMessageHandler:
    """Read the configurations of the models that share the topic and connect; no call is made yet.

    `ConfigError` is raised where one is missing or wrong, names no training pipeline, or belongs to
    another topic.
    """
    path = Path(os.environ.get("TRANSAK_DRIFT_CONFIG") or "monitoring_config.json")
    address = os.environ.get("TRANSAK_DRIFT_VERTEX_ENDPOINT") or None
    try:
        configs = load_configs(path)
        for file, config in zip(config_files(path), configs, strict=True):
            faults = list(_faults(config, configs[0]))
            if faults:
                raise ConfigError(str(file), faults)
    except ConfigError as error:
        write_entry("CRITICAL", f"the function cannot start: {error}")
        raise
    for config in configs:
        if config.retrain_policy.cooldown_minutes > 0:
            write_entry(
                "WARNING",
                "retrain_policy.cooldown_minutes is honoured by Dagster's sensor alone: the Cloud "
                "Function keeps no state",
                model_monitor=config.model_monitor_id,
                cooldown_minutes=config.retrain_policy.cooldown_minutes,
            )
    connections = [
        VertexConnection(config.project_id, config.location, address, limits=_LIMITS)
        for config in configs
    ]
    # They share all of the queue, so that any of them names it.
    queue = TriggerQueue(connect(os.environ.get("PUBSUB_EMULATOR_HOST") or None), configs[0])
    return DriftMessageHandler(list(zip(configs, connections, strict=True)), queue)


def _faults(config: MonitoringConfig, first: MonitoringConfig) -> Iterator[ConfigFault]:
    # Models of one subscription have the topic and the dead letters in common as well.
    for setting in ("project_id", "trigger_subscription"):
        value, expected = getattr(config, setting), getattr(first, setting)
        if value != expected:
            problem = f"is not {expected!r}, that of the other models of this function"
            fix = "deploy a function for each trigger topic, as terraform/ does"
            yield ConfigFault(setting, value, problem, fix)
    template = config.vertex.pipeline_template
    if template is None or ("://" not in template and not Path(template).is_file()):
        problem = "is a local file that is not packed into the function"
        problem = problem if template else "is not set"
        fix = "name the compiled training pipeline in gs://bucket/path or in Artifact Registry"
        yield ConfigFault("vertex.pipeline_template", template, problem, fix)
