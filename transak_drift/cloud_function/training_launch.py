"""Launches the training of a drift event on Vertex AI, and tells which failures may pass."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from google.api_core import exceptions

from transak_drift.cloud_function.drift_message_handler import (
    LaunchedTraining,
    LaunchRefusedError,
)
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import PlatformError
from transak_drift.vertex.call_limits import RETRYABLE
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.training_launch import TrainingOrder, launch_training

_FINAL_CAUSES = (exceptions.ClientError, FileNotFoundError, UnicodeDecodeError, yaml.YAMLError)


@dataclass(frozen=True, slots=True)
class VertexTrainingLauncher:
    """Implements `TrainingLauncher`.

    Args:
        connection: the clients of the configuration's location.
        config: the monitored model and its training pipeline.
    """

    connection: VertexConnection
    config: MonitoringConfig

    def __call__(self, event: DriftEvent) -> LaunchedTraining:
        """See `TrainingLauncher`; a job that failed is not followed by another."""
        order = TrainingOrder(event.key, event.window_end)
        try:
            launched = launch_training(self.connection, self.config, order, retry_failed=False)
        except PlatformError as error:
            if is_final(error):
                raise LaunchRefusedError(str(error)) from error
            raise
        return LaunchedTraining(launched.job_name, launched.adopted)


def is_final(error: PlatformError) -> bool:
    """Tell whether a failure would come again with another delivery of the message.

    Args:
        error: a failure of the launch, with the client's error as its cause.

    Returns:
        True where the configuration, a right or a resource must be mended first. A failure of
        unknown kind counts as one that may pass.
    """
    cause = error.__cause__
    if cause is None:
        # Nothing was asked of Vertex AI: the configuration itself lacks something.
        return True
    return isinstance(cause, _FINAL_CAUSES) and not isinstance(cause, RETRYABLE)
