"""What the real Terraform plans for several models: adding a model is adding a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions
from transak_drift.settings import Settings
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift_tests.cloud_function.deployed_archive import (
    CONFIG,
    FURTHER_CONFIG,
    unpack_archive,
)
from transak_drift_tests.terraform.terraform_command import (
    OWN_TOPIC,
    TOPIC,
    Plan,
    TerraformCopy,
    further_model,
    needs_terraform,
)

pytestmark = needs_terraform


def test_each_model_has_a_sink_and_each_queue_all_else(with_dagster: Plan) -> None:
    filters = {
        config.model_monitor_id: sink_filter(config.model_monitor_id)
        for config in load_configs(with_dagster.copied.config_file)
    }
    sink = "google_logging_project_sink.anomalies"
    assert len(filters) == 3
    assert filters == {
        key: with_dagster.resources[f'{sink}["{key}"]']["filter"] for key in with_dagster.keys(sink)
    }
    dead_letters = {f"{TOPIC}-dead-letter", f"{OWN_TOPIC}-dead-letter"}
    kept = {f"{topic}-subscription" for topic in dead_letters}
    # What belongs to a model's sink alone, or to Dagster, is not made for each queue.
    others = {sink, "google_project_service.required", "terraform_data.config"}
    keyed = {name.partition("[")[0] for name in with_dagster.resources if '["' in name}
    for address in keyed - others:
        expected = {TOPIC, OWN_TOPIC}
        if address.endswith("_output"):
            expected = {"af-monitoring"}
        if "dead_letter" in address:
            expected = dead_letters if "google_pubsub_topic" in address else kept
        assert with_dagster.keys(address) == expected, address


def test_further_models_change_nothing_of_the_first(plan: Plan, with_dagster: Plan) -> None:
    # Who is told, and what is described, may concern several models.
    told = {"labels", "user_labels", "notification_channels", "documentation", "display_name"}

    def compared(plan: Plan) -> dict[str, object]:
        return {
            key: {name: value for name, value in values.items() if name not in {*told, "title"}}
            for key, values in plan.resources.items()
            if "terraform_data" not in key
        }

    alone, together = compared(plan), compared(with_dagster)
    assert alone == {key: together[key] for key in alone}


def test_an_alert_tells_the_channels_of_all_models_of_its_queue(with_dagster: Plan) -> None:
    of_second, of_third = (further_model(number)["notification_channels"] for number in (2, 3))
    alerts = with_dagster.of_type("google_monitoring_alert_policy")
    assert {name: values["notification_channels"] for name, values in alerts.items()} == {
        f'unacknowledged["{TOPIC}"]': of_second,
        f'unacknowledged["{OWN_TOPIC}"]': of_third,
        f'dead_letters["{TOPIC}-dead-letter-subscription"]': of_second,
        f'dead_letters["{OWN_TOPIC}-dead-letter-subscription"]': of_third,
    }


def test_queues_may_keep_their_dead_letters_together(copied: TerraformCopy) -> None:
    shared = {"trigger_topic": OWN_TOPIC, "dead_letter_topic": f"{TOPIC}-dead-letter"}
    copied.write_further_config("transak-i3.json", further_model(3, **shared))
    plan = copied.plan()
    assert plan.keys("google_pubsub_subscription.trigger") == {TOPIC, OWN_TOPIC}
    assert plan.keys("google_pubsub_topic.dead_letter") == {f"{TOPIC}-dead-letter"}
    (letters,) = plan.keys("google_pubsub_subscription.dead_letter")
    alert = plan.resources[f'google_monitoring_alert_policy.dead_letters["{letters}"]']
    assert f"`{OWN_TOPIC}`" in alert["documentation"][0]["content"]


def test_each_queue_has_one_function_with_an_account_and_the_configurations_of_its_models(
    with_functions: Plan, tmp_path: Path
) -> None:
    resources, outputs = with_functions.resources, with_functions.outputs
    functions = {TOPIC: "cf-transak-i1-train-trigger", OWN_TOPIC: "cf-transak-i3-train-trigger"}
    first, second, third = load_configs(with_functions.copied.config_file)
    packed = {TOPIC: (first, second), OWN_TOPIC: (third,)}
    assert with_functions.keys("google_pubsub_subscription.trigger") == set()
    assert (outputs["trigger_subscription"], outputs["live_trigger"]) == (None, "cloud_function")
    assert sensors_of(with_functions) == []
    for topic, name in functions.items():
        function = resources[f'google_cloudfunctions2_function.trigger["{topic}"]']
        assert function["name"] == name
        assert function["build_config"][0]["entry_point"] == "handle_drift_message"
        assert function["event_trigger"][0]["retry_policy"] == "RETRY_POLICY_RETRY"
        assert unpacked_configs(with_functions, topic, tmp_path / name) == packed[topic]
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
            assert with_functions.keys(address) == set(functions), address
    # What is tested without Terraform is laid out by the same list.
    copied = with_functions.copied
    configs = {path: (copied.repository / path).read_text() for path in (CONFIG, FURTHER_CONFIG)}
    unpack_archive(tmp_path / "laid out", configs)
    assert files_in(tmp_path / "laid out") == files_in(tmp_path / functions[TOPIC])


def unpacked_configs(plan: Plan, topic: str, directory: Path) -> tuple[MonitoringConfig, ...]:
    """Unpack a function's archive, and return the configurations that the function finds in it."""
    function = plan.resources[f'google_cloudfunctions2_function.trigger["{topic}"]']
    packed = plan.copied.directory / ".terraform" / f"{function['name']}.zip"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(directory)
    (service,) = function["service_config"]
    return load_configs(directory / service["environment_variables"]["TRANSAK_DRIFT_CONFIG"])


def files_in(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def sensors_of(plan: Plan) -> list[str]:
    """Return the drift message sensors of Dagster with the planned environment."""
    environment = plan.outputs["dagster_environment"]
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

    configs = load_configs(named)
    monitors = {config.model_monitor_id for config in configs}
    assert plan.keys("google_logging_project_sink.anomalies") == monitors
    assert sink_filter(configs[0].model_monitor_id) == plan.outputs["sink_filter"]
    files = plan.keys("terraform_data.config")
    assert {(copied.directory / file).resolve() for file in files} == set(config_files(named))
    environment = plan.outputs["dagster_environment"]
    assert load_configs(Path(environment["TRANSAK_DRIFT_CONFIG"])) == configs
    assert unpacked_configs(plan, TOPIC, copied.repository / "unpacked") == configs


def test_dagster_has_a_sensor_for_each_planned_subscription(with_dagster: Plan) -> None:
    subscriptions = with_dagster.keys("google_pubsub_subscription.trigger")
    assert len(sensors_of(with_dagster)) == len(subscriptions) == 2
