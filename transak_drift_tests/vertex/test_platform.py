"""What the gcp platform shows to the assets and to `transak-drift status`."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from typer.testing import CliRunner

from transak_drift.cli.main import app
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.platform import Dataset, PlatformError
from transak_drift.pubsub.connection import connect as connect_pubsub
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.platform import VertexPlatform
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.server import LoopbackVertex

DAY = date(2026, 5, 1)
ROWS = [{"description": "Coop", "type": "Card"}, {"description": "Migros", "type": "Card"}]


class RecordedData:
    """Tells what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def describe(self, address: str, day: date, date_column: str | None) -> Dataset:
        self.asked.append((address, date_column))
        return Dataset(address, 7)


@pytest.fixture
def data() -> RecordedData:
    return RecordedData()


@pytest.fixture
def platform(connection: VertexConnection, data: RecordedData) -> VertexPlatform:
    return VertexPlatform(connection, data.describe)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("gs://transak-i1/{date}/*.csv", ("gs://transak-i1/2026-05-01/*.csv", None)),
        ("bq://af-finanzen.transak.p_{date:%Y%m%d}", ("bq://af-finanzen.transak.p_20260501", None)),
        ("bq://af-finanzen.transak.p", ("bq://af-finanzen.transak.p", "date")),
    ],
)
def test_a_days_data_are_looked_for_where_the_configuration_says(
    platform: VertexPlatform, data: RecordedData, address: str, asked: tuple[str, str | None]
) -> None:
    config = monitored_config(vertex={"prediction_dataset": address})
    assert platform.land_transactions(config, DAY).rows == 7
    predicted = platform.predict(config, DAY)
    assert (predicted.model_version, predicted.dataset.uri) == ("1", asked[0])
    assert data.asked == [asked, asked]


def test_the_output_of_a_batch_prediction_is_the_days_data(
    vertex: LoopbackVertex, platform: VertexPlatform, data: RecordedData
) -> None:
    config = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/p-{date}"})
    job = vertex.batch_predictions.add("p-2026-05-01", "gs://transak-i1/p")
    assert platform.predict(config, DAY).dataset == Dataset(job.name, None)
    assert data.asked == []


def test_without_a_place_of_predictions_the_key_is_named(platform: VertexPlatform) -> None:
    config = monitored_config(vertex={"prediction_dataset": None})
    with pytest.raises(PlatformError, match=r"vertex\.prediction_dataset is not set"):
        platform.land_transactions(config, DAY)


def test_the_registered_model_is_the_default_version_with_its_newest_evaluation(
    vertex: LoopbackVertex, platform: VertexPlatform, config: MonitoringConfig
) -> None:
    name = platform.ensure_registered_model(config).detail.partition("@")[0]
    vertex.models.upload(config.model_name, parent_model=name, metrics={"accuracy": 0.9})
    vertex.models.upload(config.model_name, parent_model=name, is_default=False)
    model = platform.ensure_registered_model(config)
    assert (model.version, model.created, model.metrics) == ("2", False, {"accuracy": 0.9})


def status(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> dict[str, Any]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outcome = CliRunner().invoke(app, ["status", "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0
    return json.loads(outcome.stdout)


def test_status_shows_versions_and_the_newest_results(
    vertex: LoopbackVertex,
    platform: VertexPlatform,
    config: MonitoringConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    config_file = tmp_path / "monitoring_config.json"
    config_file.write_text(config.model_dump_json(exclude_none=True))
    with ensure_embedded_pubsub(tmp_path / "pubsub") as pubsub:
        queue = TriggerQueue(connect_pubsub(pubsub.endpoint), config)
        queue.ensure_exists()
        queue.close()
        variables = {
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": str(config_file),
            "TRANSAK_DRIFT_VERTEX_ENDPOINT": vertex.endpoint,
            "PUBSUB_EMULATOR_HOST": pubsub.endpoint,
        }
        before = status(monkeypatch, variables)
        assert (before["model_monitor"], before["monitoring_results"]) == (None, [])
        platform.apply_model_monitor(config)
        vertex.buckets.write_csv("gs://transak-i1/training/1.csv", ROWS)
        for number in (1, 2, 3, 4):
            vertex.buckets.write_csv(f"gs://transak-i1/predictions/2026-05-0{number}.csv", ROWS)
            platform.start_monitoring_run(config, date(2026, 5, number))
        missing = platform.start_monitoring_run(config, date(2026, 5, 5)).job_name
        after = status(monkeypatch, variables)
    assert after["model_versions"][0]["version"] == "1"
    failed, *rest = after["monitoring_results"]
    assert failed["job"] == missing.rpartition("/")[2]
    assert "matches no object" in failed["verdict"]
    assert [row["day"] for row in rest] == [f"2026-05-0{number}" for number in (4, 3, 2, 1)]
    assert {row["verdict"] for row in rest} == {"ok"}
    assert {row["description"] for row in rest} == {0.0}
