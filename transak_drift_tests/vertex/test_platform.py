"""What the gcp platform shows to the assets and to `transak-drift status`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.platform import Dataset, PlatformError
from transak_drift.pubsub.connection import connect as connect_pubsub
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.training.labels import LabelCounts
from transak_drift_tests.cli.commands import document
from transak_drift_tests.servers.clients import monitored_config, rows, use_gcp_platform
from transak_drift_tests.vertex.conftest import CONFIG, MODEL, MODEL_NAME, WINDOW, Cloud
from transak_drift_tests.windows import day_window


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("gs://transak-i1/{date}/*.csv", ("gs://transak-i1/2026-05-01/*.csv", None)),
        ("bq://af-finanzen.transak.p_{date:%Y%m%d}", ("bq://af-finanzen.transak.p_20260501", None)),
        ("bq://af-finanzen.transak.p", ("bq://af-finanzen.transak.p", "date")),
    ],
)
def test_a_days_data_are_looked_for_where_the_configuration_says(
    cloud: Cloud, address: str, asked: tuple[str, str | None]
) -> None:
    config = monitored_config(vertex={"prediction_dataset": address})
    assert cloud.platform.land_transactions(config, WINDOW).rows == 7
    predicted = cloud.platform.predict(config, WINDOW)
    assert (predicted.model_version, predicted.dataset.uri) == ("1", asked[0])
    assert cloud.asked == [asked, asked]


def test_labels_are_counted_where_the_rows_are_and_the_training_data_tell_the_classes(
    cloud: Cloud,
) -> None:
    rows_of_day = "bq://af-finanzen.transak.p_2026-05-01"
    learned = "bq://af-finanzen.transak.t_1"
    cloud.labels = {
        rows_of_day: LabelCounts(rows=9, labelled=2, by_label={"food": 2}),
        learned: LabelCounts(rows=5, labelled=5, by_label={"food": 4, "rent": 1}),
    }
    vertex = {
        "prediction_dataset": rows_of_day.replace("2026-05-01", "{date}"),
        "training_dataset": learned.replace("_1", "_{model_version}"),
    }
    named = monitored_config(vertex=vertex, labels={"column": "kind", "expected": ["food"]})
    found = cloud.platform.count_labels(named, WINDOW)
    assert (found.rows, found.labelled, found.champion_classes) == (9, 2, None)
    assert cloud.counted == [(rows_of_day, "kind", "description")]
    # Otherwise they are those that the version that predicts has learned from.
    found = cloud.platform.count_labels(monitored_config(vertex=vertex, labels={}), WINDOW)
    assert found.champion_classes == ("food", "rent")
    assert cloud.counted[-1] == (learned, "category", "category")


def test_the_output_of_a_batch_prediction_is_the_days_data(cloud: Cloud) -> None:
    config = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/p-{date}"})
    job = cloud.batch_predictions.add("p-2026-05-01", "gs://transak-i1/p")
    assert cloud.platform.predict(config, WINDOW).dataset == Dataset(job.name, None)
    assert cloud.asked == []
    with pytest.raises(PlatformError, match=r"vertex\.prediction_dataset is not set"):
        cloud.platform.predict(monitored_config(vertex={"prediction_dataset": None}), WINDOW)


def test_the_registered_model_is_the_default_version_with_its_newest_evaluation(
    cloud: Cloud,
) -> None:
    cloud.models.upload(MODEL_NAME, parent_model=MODEL, metrics={"accuracy": 0.9})
    cloud.models.upload(MODEL_NAME, parent_model=MODEL, is_default=False)
    model = cloud.platform.ensure_registered_model(CONFIG)
    assert (model.version, model.created, model.metrics) == ("2", False, {"accuracy": 0.9})


def test_status_shows_versions_and_the_newest_results(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config_file = tmp_path / "monitoring_config.json"
    use_gcp_platform(monkeypatch, config_file, CONFIG, cloud.endpoint)
    with ensure_embedded_pubsub(tmp_path / "pubsub") as pubsub:
        queue = TriggerQueue(connect_pubsub(pubsub.endpoint), CONFIG)
        queue.ensure_exists()
        queue.close()
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.endpoint)
        before = document("status")
        assert (before["model_monitor"], before["monitoring_results"]) == (None, [])
        cloud.platform.apply_model_monitor(CONFIG)
        for day in ("2026-05-02", "2026-05-03"):
            cloud.buckets.write_csv(f"gs://transak-i1/predictions/{day}.csv", rows(50, 80))
        jobs = [
            cloud.platform.start_monitoring_run(CONFIG, day_window(date(2026, 5, number))).job_name
            for number in (1, 2, 3, 4)
        ]
        after = document("status")
    assert after["model_versions"][0]["version"] == "1"
    failed, *rest = after["monitoring_results"]
    assert failed["job"] == jobs[-1].rpartition("/")[2]
    assert "matches no object" in failed["verdict"]
    assert [(row["window"], row["verdict"], row["description"]) for row in rest] == [
        ("2026-05-03", "ok", 0.0),
        ("2026-05-02", "ok", 0.0),
        ("2026-05-01", "drift", 0.4),
    ]
