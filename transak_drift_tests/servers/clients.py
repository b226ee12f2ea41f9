"""Connections to the server, and configurations for it."""

from __future__ import annotations

from typing import Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.vertex.connection import CallLimits, VertexConnection
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.servers.api_rules import LOCATION, PROJECT_ID, PROJECT_NUMBER

# Waits of milliseconds: the rules are the same, and no test waits for the clock.
QUICK_LIMITS = CallLimits(
    attempt_seconds=10.0,
    total_seconds=30.0,
    operation_seconds=30.0,
    pace=0.005,
)


def connect(endpoint: str, limits: CallLimits = QUICK_LIMITS) -> VertexConnection:
    """Connect this project's clients to the server."""
    return VertexConnection(PROJECT_ID, LOCATION, endpoint, limits=limits)


def monitored_config(vertex: dict[str, Any] | None = None, **changes: Any) -> MonitoringConfig:
    """Return a configuration for the gcp platform, with some keys changed."""
    section = {
        "training_dataset": "gs://transak-i1/training/{model_version}.csv",
        "prediction_dataset": "gs://transak-i1/predictions/{date}.csv",
        **(vertex or {}),
    }
    return configuration(**{"project_number": PROJECT_NUMBER, "vertex": section, **changes})
