"""What the real Terraform plans for several models: adding a model is adding a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.definitions import build_definitions
from transak_drift.settings import Settings
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift_tests.cloud_function.deployed_archive import unpack_archive
from transak_drift_tests.terraform.terraform_command import (
    OWN_TOPIC,
    TOPIC,
    TerraformCopy,
    further_model,
    keys,
    needs_terraform,
    planned_outputs,
    planned_resources,
)

pytestmark = needs_terraform


def test_each_model_has_a_sink_and_each_queue_all_else(
    three_models: TerraformCopy, with_dagster: dict[str, Any]
) -> None:
    resources = planned_resources(with_dagster)
    filters = {
        config.model_monitor_id: sink_filter(config.model_monitor_id)
        for config in load_configs(three_models.config_file)
    }
    sink = "google_logging_project_sink.anomalies"
    assert len(filters) == 3
    assert filters == {
        key: resources[f'{sink}["{key}"]']["filter"] for key in keys(resources, sink)
    }
    dead_letters = {f"{TOPIC}-dead-letter", f"{OWN_TOPIC}-dead-letter"}
    kept = {f"{topic}-subscription" for topic in dead_letters}
    # What belongs to a model's sink alone, or to Dagster, is not made for each queue.
    others = (sink, "google_project_service.required", "terraform_data.config")
    for address in {name.partition("[")[0] for name in resources if '["' in name} - set(others):
        expected = {TOPIC, OWN_TOPIC}
        if address.endswith("_output"):
            expected = {"af-monitoring"}
        if "dead_letter" in address:
            of_topic = "google_pubsub_topic" in address
            expected = dead_letters if of_topic else kept
        assert keys(resources, address) == expected, address


def test_further_models_change_nothing_of_the_first(
    plan: dict[str, Any], with_dagster: dict[str, Any]
) -> None:
    # Who is told, and what is described, may concern several models.
    told = {"labels", "user_labels", "notification_channels", "documentation", "display_name"}

    def compared(plan: dict[str, Any]) -> dict[str, Any]:
        return {
            key: {name: value for name, value in values.items() if name not in {*told, "title"}}
            for key, values in planned_resources(plan).items()
            if "terraform_data" not in key
        }

    alone, together = compared(plan), compared(with_dagster)
    assert alone == {key: together[key] for key in alone}


def test_an_alert_tells_the_channels_of_all_models_of_its_queue(
    with_dagster: dict[str, Any],
) -> None:
    of_second, of_third = (further_model(number)["notification_channels"] for number in (2, 3))
    assert {
        address.partition(".")[2]: values["notification_channels"]
        for address, values in planned_resources(with_dagster).items()
        if address.startswith("google_monitoring_alert_policy.")
    } == {
        f'unacknowledged["{TOPIC}"]': of_second,
        f'unacknowledged["{OWN_TOPIC}"]': of_third,
        f'dead_letters["{TOPIC}-dead-letter-subscription"]': of_second,
        f'dead_letters["{OWN_TOPIC}-dead-letter-subscription"]': of_third,
    }


def test_queues_may_keep_their_dead_letters_together(copied: TerraformCopy) -> None:
    shared = {"trigger_topic": OWN_TOPIC, "dead_letter_topic": f"{TOPIC}-dead-letter"}
    copied.write_further_config("transak-i3.json", further_model(3, **shared))
    resources = planned_resources(copied.plan())
    assert keys(resources, "google_pubsub_subscription.trigger") == {TOPIC, OWN_TOPIC}
    assert keys(resources, "google_pubsub_topic.dead_letter") == {f"{TOPIC}-dead-letter"}
    (letters,) = keys(resources, "google_pubsub_subscription.dead_letter")
    alert = resources[f'google_monitoring_alert_policy.dead_letters["{letters}"]']
    assert f"`{OWN_TOPIC}`" in alert["documentation"][0]["content"]


def test_each_queue_has_one_function_with_an_account_and_the_configurations_of_its_models(
    three_models: TerraformCopy, with_functions: dict[str, Any], tmp_path: Path
) -> None:
    resources, outputs = planned_resources(with_functions), planned_outputs(with_functions)
    functions = {TOPIC: "cf-transak-i1-train-trigger", OWN_TOPIC: "cf-transak-i3-train-trigger"}
    first, second, third = load_configs(three_models.config_file)
    packed = {
        TOPIC: ("monitoring_config.json", (first, second)),
        OWN_TOPIC: ("monitoring_configs", (third,)),
    }
    assert keys(resources, "google_pubsub_subscription.trigger") == set()
    assert (outputs["trigger_subscription"], outputs["live_trigger"]) == (None, "cloud_function")
    assert sensors_of(outputs) == []
    for topic, name in functions.items():
        function = resources[f'google_cloudfunctions2_function.trigger["{topic}"]']
        (service,) = function["service_config"]
        path, configs = packed[topic]
        assert function["name"] == name
        assert function["build_config"][0]["entry_point"] == "handle_drift_message"
        assert function["event_trigger"][0]["retry_policy"] == "RETRY_POLICY_RETRY"
        assert service["environment_variables"]["TRANSAK_DRIFT_CONFIG"] == path
        unpacked = tmp_path / name
        with zipfile.ZipFile(three_models.directory / ".terraform" / f"{name}.zip") as archive:
            archive.extractall(unpacked)
        assert load_configs(unpacked / path) == configs
        account = resources[f'google_service_account.cloud_function["{topic}"]']
        assert account["account_id"] == name
        # Google limits the names of accounts to 100 characters.
        assert len(account["display_name"]) <= 100
        bucket = resources[f'google_storage_bucket.cloud_function_source["{topic}"]']
        assert bucket["name"] == f"af-finanzen-{name}-src"
        alert = resources[f'google_monitoring_alert_policy.cloud_function_errors["{topic}"]']
        (condition,) = alert["conditions"]
        assert f'"{name}"' in condition["condition_threshold"][0]["filter"]
    for address in {name.partition("[")[0] for name in resources if ".cloud_function" in name}:
        if not address.startswith("terraform_data."):
            assert keys(resources, address) == set(functions), address
    # What is tested without Terraform is laid out by the same list.
    further = (three_models.repository / "monitoring_configs" / "transak-i2.json").read_text()
    laid_out = tmp_path / "laid out"
    unpack_archive(laid_out, three_models.config_file.read_text(), {"transak-i2.json": further})
    assert files_in(laid_out) == files_in(tmp_path / functions[TOPIC])


def files_in(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def sensors_of(outputs: dict[str, Any]) -> list[str]:
    """Return the drift message sensors of Dagster with the planned environment."""
    environment = outputs["dagster_environment"]
    settings = Settings(
        platform=environment["TRANSAK_DRIFT_PLATFORM"],
        config=environment["TRANSAK_DRIFT_CONFIG"],
        trigger=environment["TRANSAK_DRIFT_TRIGGER"],
    )
    definitions = build_definitions(settings, settings.load_configs())
    names = [sensor.name for sensor in definitions.sensors or []]
    return [name for name in names if "drift_message_sensor" in name]


def test_the_files_are_those_that_dagster_reads(copied: TerraformCopy) -> None:
    named = copied.repository / "folder"
    named.mkdir()
    names = ["a.json", "monitoring_config.json", "b.schema.json", "d.txt"]
    for number, name in enumerate(names, start=2):
        (named / name).write_text(json.dumps(further_model(number)), encoding="utf-8")
    plan = copied.plan(named.name, trigger="cloud_function")

    resources, outputs = planned_resources(plan), planned_outputs(plan)
    configs = load_configs(named)
    monitors = {config.model_monitor_id for config in configs}
    assert keys(resources, "google_logging_project_sink.anomalies") == monitors
    assert sink_filter(configs[0].model_monitor_id) == outputs["sink_filter"]
    files = keys(resources, "terraform_data.config")
    assert {(copied.directory / file).resolve() for file in files} == set(config_files(named))
    environment = outputs["dagster_environment"]
    assert load_configs(Path(environment["TRANSAK_DRIFT_CONFIG"])) == configs
    function = resources[f'google_cloudfunctions2_function.trigger["{TOPIC}"]']
    (service,) = function["service_config"]
    (packed_source,) = copied.directory.glob(".terraform/*.zip")
    with zipfile.ZipFile(packed_source) as archive:
        archive.extractall(copied.repository / "unpacked")
    packed = service["environment_variables"]["TRANSAK_DRIFT_CONFIG"]
    assert load_configs(copied.repository / "unpacked" / packed) == configs


def test_dagster_has_a_sensor_for_each_planned_subscription(with_dagster: dict[str, Any]) -> None:
    subscriptions = keys(planned_resources(with_dagster), "google_pubsub_subscription.trigger")
    assert len(sensors_of(planned_outputs(with_dagster))) == len(subscriptions) == 2
