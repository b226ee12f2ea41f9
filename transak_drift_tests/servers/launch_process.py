"""A process of its own that launches the training of a drift event."""

from __future__ import annotations

from typing import Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import TrainingRequest
from transak_drift.vertex.training_launch import launch_training
from transak_drift_tests.servers.clients import connect


def launch(
    endpoint: str, config: MonitoringConfig, order: TrainingRequest, gate: Any, answers: Any
) -> None:
    """Launch when the gate opens, and answer with the job's name and whether it was adopted."""
    connection = connect(endpoint)
    gate.wait(timeout=60)
    launched = launch_training(connection, config, order)
    connection.close()
    answers.put((launched.job_name, launched.adopted))
