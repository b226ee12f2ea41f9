"""Connections to the server, and configurations for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.vertex.connection import CallLimits, VertexConnection
from transak_drift.vertex.monitors import apply_model_monitor
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.servers.api_rules import LOCATION, PROJECT_ID, PROJECT_NUMBER

TEMPLATE = Path(__file__).with_name("pipeline_template.yaml")
PLACES = {
    "training_dataset": "gs://transak-i1/training/{model_version}.csv",
    "prediction_dataset": "gs://transak-i1/predictions/{date}.csv",
    "pipeline_template": str(TEMPLATE),
    "pipeline_root": "gs://transak-i1/pipelines",
}
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


def apply_monitors(endpoint: str, *configs: MonitoringConfig) -> None:
    """Make the model monitors of configurations, whose models are on the server."""
    connection = connect(endpoint)
    for config in configs:
        apply_model_monitor(connection, config)
    connection.close()


def use_gcp_platform(
    monkeypatch: pytest.MonkeyPatch,
    config_file: Path,
    config: MonitoringConfig,
    endpoint: str,
    **variables: str,
) -> None:
    """Write the configuration; let this process and its children be on the gcp platform."""
    config_file.write_text(config.model_dump_json(exclude_none=True))
    for name, value in {
        "TRANSAK_DRIFT_PLATFORM": "gcp",
        "TRANSAK_DRIFT_CONFIG": str(config_file),
        "TRANSAK_DRIFT_VERTEX_ENDPOINT": endpoint,
        **variables,
    }.items():
        monkeypatch.setenv(name, value)


def monitored_config(vertex: dict[str, Any] | None = None, **changes: Any) -> MonitoringConfig:
    """Return a configuration for the gcp platform, with some keys changed."""
    section = {**PLACES, **(vertex or {})}
    return configuration(**{"project_number": PROJECT_NUMBER, "vertex": section, **changes})


def csv_dataset(uri: str) -> dict[str, Any]:
    """Return the `ModelMonitoringInput` of a file."""
    return {"columnized_dataset": {"gcs_source": {"gcs_uri": uri, "format_": "CSV"}}}


def rows(coop: int, card: int = 100) -> list[dict[str, object]]:
    """Return 100 rows, so many of them of one description and of one type."""
    return [
        {
            "description": "Coop" if number < coop else "Migros",
            "type": "Card" if number < card else "Twint",
            "amount": number % 10,
        }
        for number in range(100)
    ]
