"""A loopback Vertex AI with the gcp platform connected to it, for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.data_source import DataSource
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import Dataset, TrainingRequest
from transak_drift.training.labels import LabelCounts
from transak_drift.vertex.platform import VertexPlatform
from transak_drift_tests.servers.clients import QUICK_LIMITS, connect, monitored_config, rows
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.windows import day_window

DAY = date(2026, 5, 1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
BASELINE = "gs://transak-i1/training/1.csv"
TARGET = "gs://transak-i1/predictions/2026-05-01.csv"
MODEL = "projects/123456789012/locations/europe-west6/models/1001"
MODEL_NAME = "transak-i1-train-model"
EVENT = "transak-i1-data-drift-monitor/day-20260501-0123456789ab"
WINDOW_END = datetime(2026, 5, 2, tzinfo=UTC)
ORDER = TrainingRequest(EVENT, WINDOW_END, "run-1")
WINDOW = day_window(DAY)
CONFIG = monitored_config()


class Cloud(LoopbackVertex):
    """A server with a model of one version and a day that drifted, and the platform on it.

    `asked` has the addresses of data that were looked for, each with its date column, and `counted`
    those whose `labels` were.
    """

    def __init__(self, directory: Path) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.counted: list[tuple[str, str, str]] = []
        self.labels: dict[str, LabelCounts] = {}
        super().__init__(directory)
        self.models.upload(MODEL_NAME, artifact_uri="gs://transak-i1/models/1")
        self.buckets.write_csv(BASELINE, rows(coop=50, card=80))
        self.buckets.write_csv(TARGET, rows(coop=90, card=75))

    @cached_property
    def platform(self) -> VertexPlatform:
        return self.connect()

    def connect(self, **limits: float) -> VertexPlatform:
        connection = connect(self.endpoint, replace(QUICK_LIMITS, **limits))
        return VertexPlatform(connection, self._find_data, self._count_labels)

    def promote(self) -> None:
        """Upload a version that predicts from now on."""
        self.models.upload(MODEL_NAME, parent_model=MODEL)

    def monitor_day(self, config: MonitoringConfig = CONFIG) -> MonitoringResult:
        """Monitor the day to its end."""
        self.platform.apply_model_monitor(config)
        job_name = self.platform.start_monitoring_run(config, WINDOW).job_name
        result = self.platform.monitoring_result(config, job_name)
        assert result is not None
        return result

    def _count_labels(self, source: DataSource, column: str, named_by: str) -> LabelCounts:
        self.counted.append((str(source), column, named_by))
        return self.labels[str(source)]

    def _find_data(self, source: DataSource, _: Window) -> Dataset:
        self.asked.append((str(source), source.time_column))
        return Dataset(str(source), 7)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(tmp_path / "buckets") as server:
        yield server
        server.platform.connection.close()


def described(message: Any) -> dict[str, Any]:
    """Return a message's fields that are set, by name."""
    return type(message).to_dict(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
