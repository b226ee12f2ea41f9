"""How a pipeline's step reaches Vertex AI: as the pipeline's service account."""

from __future__ import annotations

import os

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.vertex.connection import VertexConnection, VertexEndpoint

ENDPOINT_VARIABLE = "TRANSAK_DRIFT_VERTEX_ENDPOINT"


def connect(config: MonitoringConfig) -> VertexConnection:
    """Return the clients of the configuration's location; nothing is connected yet.

    Args:
        config: names the project and the location.

    Returns:
        The clients. TRANSAK_DRIFT_VERTEX_ENDPOINT (`host:port`) takes the place of the region's
        own endpoint.

    Raises:
        PlatformError: that variable is not `host:port`.
    """
    return VertexConnection(
        VertexEndpoint(
            config.project_id, config.location, address=os.environ.get(ENDPOINT_VARIABLE) or None
        )
    )
