"""From a drift message to what people read: two models, a real training, each its own channel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.config.model_configs import MODELS_FOLDER
from transak_drift.definitions import build_definitions, platform_resource, trigger_queue_resource
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import document
from transak_drift_tests.servers.slack_server import slack_server
from transak_drift_tests.trigger.drift_messages import store_job

TOKEN = "xoxb-the-secret-token"
DRIFT_DAY = datetime(2026, 3, 3, tzinfo=UTC)


def test_each_model_tells_its_drift_and_the_end_of_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_SLACK_TOKEN", TOKEN)
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    small: dict[str, Any] = {"start_date": "2026-03-02", "maximum_training_days": 2}
    (tmp_path / MODELS_FOLDER).mkdir()
    (tmp_path / "monitoring_config.json").write_text(
        json.dumps(document(**small, notifications={"slack": {"channel": "#first"}}))
    )
    (tmp_path / MODELS_FOLDER / "second.json").write_text(
        json.dumps(
            document(
                **small,
                model_name="second-model",
                monitoring_job_display_name="second_monitor",
                notifications={"slack": {"channel": "#second"}},
            )
        )
    )
    with slack_server(TOKEN, "#first", "#second") as slack, dg.instance_for_test() as instance:
        settings = Settings(
            config=tmp_path / "monitoring_config.json",
            home=tmp_path / "state",
            rows_per_day=300,
            slack_api_url=slack.url,
            dagster_url="http://127.0.0.1:3000",
        )
        configs = settings.load_configs()
        definitions = build_definitions(settings, configs)
        resources = {
            "trigger_queue": trigger_queue_resource(settings),
            "platform": platform_resource(settings),
        }
        cursors: dict[str, str | None] = {}

        def tick(name: str) -> list[dg.RunRequest]:
            sensor = definitions.resolve_sensor_def(name)
            wanted = {key: resources[key] for key in sensor.required_resource_keys}
            with dg.build_sensor_context(
                instance=instance, cursor=cursors.get(name), resources=wanted
            ) as context:
                result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursors[name] = result.cursor
            for event in result.asset_events:
                instance.report_runless_asset_event(event)
            return list(result.run_requests or [])

        def tell() -> None:
            for prefix in ("", "second_"):
                tick(f"{prefix}drift_notification_sensor")

        with trigger_queue_resource(settings).open(configs[0]) as queue:
            for config in configs:
                end = DRIFT_DAY + timedelta(days=1)
                queue.publish(
                    store_job(tmp_path / "state", config, "job-1", {"description": 0.61}, end=end)
                )
        requests = {request.job_name: request for request in tick("drift_message_sensor")}
        assert set(requests) == {"retrain", "second_retrain"}
        tell()
        tell()
        assert len(slack.messages) == 2

        request = requests["second_retrain"]
        trained = definitions.resolve_job_def("second_retrain").execute_in_process(
            instance=instance, run_config=request.run_config, tags=request.tags
        )
        tell()
        tell()

    day = "2026-03-03"
    [first] = slack.texts("#first")
    assert first.startswith(f"*Drift of transak-i1-train-model on {day}: a training is requested*")
    second, end = slack.texts("#second")
    assert second.startswith(
        f"*Drift of second-model on {day}: a training is requested*\n• feature description: "
    )
    assert f"/assets/second/drift_report?view=partitions&amp;partition={day}" in second
    assert end.startswith(f"*Drift of second-model on {day}: new champion: version 1*\n• reason: ")
    assert f"<http://127.0.0.1:3000/runs/{trained.run_id}|Training run>" in end
