"""A loopback Vertex AI and a connection to it, for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.vertex.connection import VertexConnection
from transak_drift_tests.servers.clients import connect, monitored_config
from transak_drift_tests.servers.server import LoopbackVertex


@pytest.fixture
def published() -> list[bytes]:
    """The bodies of the messages that have reached the topic."""
    return []


@pytest.fixture
def vertex(tmp_path: Path, published: list[bytes]) -> Iterator[LoopbackVertex]:
    """A server with one model of one version."""
    with LoopbackVertex(tmp_path / "buckets", publish=published.append) as server:
        server.models.upload("transak-i1-train-model")
        yield server


@pytest.fixture
def connection(vertex: LoopbackVertex) -> Iterator[VertexConnection]:
    """The project's own clients, connected to the server."""
    connected = connect(vertex.endpoint)
    yield connected
    connected.close()


@pytest.fixture
def config() -> MonitoringConfig:
    """A configuration for the gcp platform."""
    return monitored_config()


def described(message: Any) -> dict[str, Any]:
    """Return a message's fields that are set, by name."""
    return type(message).to_dict(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )


def configured_spec(**thresholds: float) -> dict[str, Any]:
    """Return what `full_config` asks of a monitor and of a job alike."""
    return {
        "tabular_objective": {
            "feature_drift_spec": {
                "features": list(thresholds),
                "categorical_metric_type": "l_infinity",
                "numeric_metric_type": "jensen_shannon_divergence",
                "feature_alert_conditions": {
                    feature: {"threshold": threshold} for feature, threshold in thresholds.items()
                },
            }
        },
        "notification_spec": {
            "email_config": {"user_emails": ["mlops@example.com"]},
            "enable_cloud_logging": True,
            "notification_channel_configs": [
                {"notification_channel": "projects/af-finanzen/notificationChannels/77"}
            ],
        },
        "output_spec": {"gcs_base_directory": {"output_uri_prefix": "gs://transak-i1/monitoring"}},
    }


def full_config(**thresholds: float) -> MonitoringConfig:
    """Return a configuration in which everything that a monitor knows is set."""
    return monitored_config(
        drift_thresholds=thresholds,
        feature_types={"amount": "numerical"} if "amount" in thresholds else {},
        notification_channels=["projects/af-finanzen/notificationChannels/77"],
        user_emails=["mlops@example.com"],
        vertex={"monitoring_output": "gs://transak-i1/monitoring"},
    )


def csv_dataset(uri: str) -> dict[str, Any]:
    return {"columnized_dataset": {"gcs_source": {"gcs_uri": uri, "format_": "CSV"}}}
