"""What the real Terraform plans for several models: adding a model is adding a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions
from transak_drift.settings import Settings
from transak_drift.trigger.sink_filter import lets_through, sink_filter
from transak_drift_tests.terraform.terraform_command import (
    CONFIG,
    DEPLOYABLE_CONFIG,
    TerraformCopy,
    needs_terraform,
    planned_outputs,
    planned_resources,
)
from transak_drift_tests.trigger.log_entries import MONITOR_LABEL, changed_entry

pytestmark = needs_terraform

TOPIC = "ps-transak-i1-train-trigger"
OWN_TOPIC = "ps-transak-i3-train-trigger"


def model(number: int, **changes: Any) -> dict[str, Any]:
    """Return the configuration of a further model."""
    return {
        **DEPLOYABLE_CONFIG,
        "model_name": f"transak-i{number}-train-model",
        "monitoring_job_display_name": f"transak_i{number}_data_drift_monitor",
        "notification_channels": [f"projects/af-finanzen/notificationChannels/{number}"],
        **changes,
    }


@pytest.fixture
def copied(tmp_path: Path) -> TerraformCopy:
    return TerraformCopy(tmp_path / "repository", DEPLOYABLE_CONFIG)


@pytest.fixture(scope="module")
def three_models(tmp_path_factory: pytest.TempPathFactory) -> TerraformCopy:
    """The first model; a second that shares its queue; a third with a queue of its own."""
    directory = tmp_path_factory.mktemp("three_models") / "repository"
    copied = TerraformCopy(directory, DEPLOYABLE_CONFIG)
    copied.write_further_config("transak-i2.json", model(2))
    copied.write_further_config("transak-i3.json", model(3, trigger_topic=OWN_TOPIC))
    return copied


@pytest.fixture(scope="module")
def with_dagster(three_models: TerraformCopy) -> dict[str, Any]:
    """The plan of the three models with Dagster as their trigger."""
    return three_models.plan()


@pytest.fixture(scope="module")
def with_functions(three_models: TerraformCopy) -> dict[str, Any]:
    """The plan of the three models with Cloud Functions as their trigger."""
    return three_models.plan(trigger="cloud_function")


def _loaded(copied: TerraformCopy) -> tuple[MonitoringConfig, ...]:
    return load_configs(copied.repository / "monitoring_config.json")


def _keys(resources: dict[str, Any], address: str) -> set[str]:
    """Return the keys of the instances of a resource."""
    return {
        name.removeprefix(f'{address}["').removesuffix('"]')
        for name in resources
        if name.startswith(f"{address}[")
    }


def test_each_model_has_a_sink_and_each_queue_all_else(
    three_models: TerraformCopy, with_dagster: dict[str, Any]
) -> None:
    resources = planned_resources(with_dagster)

    monitors = {config.model_monitor_id for config in _loaded(three_models)}
    assert len(monitors) == 3
    assert _keys(resources, "google_logging_project_sink.anomalies") == monitors
    for address in (
        "google_pubsub_topic.trigger",
        "google_pubsub_subscription.trigger",
        "google_pubsub_topic_iam_member.sink_publisher",
        "google_pubsub_topic_iam_member.channel_publisher",
        "google_monitoring_notification_channel.trigger",
        "google_pubsub_topic_iam_member.dagster_trigger_publisher",
        "google_pubsub_subscription_iam_member.dagster_trigger_subscriber",
        "google_pubsub_subscription_iam_member.dagster_trigger_viewer",
        "google_pubsub_subscription_iam_member.service_agent_trigger_subscriber",
        "google_monitoring_alert_policy.unacknowledged",
    ):
        assert _keys(resources, address) == {TOPIC, OWN_TOPIC}, address
    dead_letters = {f"{TOPIC}-dead-letter", f"{OWN_TOPIC}-dead-letter"}
    for address in (
        "google_pubsub_topic.dead_letter",
        "google_pubsub_topic_iam_member.dagster_dead_letter_publisher",
        "google_pubsub_topic_iam_member.service_agent_dead_letter_publisher",
    ):
        assert _keys(resources, address) == dead_letters, address
    for address in (
        "google_pubsub_subscription.dead_letter",
        "google_pubsub_subscription_iam_member.dagster_dead_letter_subscriber",
        "google_monitoring_alert_policy.dead_letters",
    ):
        expected = {f"{topic}-subscription" for topic in dead_letters}
        assert _keys(resources, address) == expected, address


def test_each_sink_lets_the_drift_of_its_own_model_through(
    three_models: TerraformCopy, with_dagster: dict[str, Any]
) -> None:
    resources = planned_resources(with_dagster)

    configs = _loaded(three_models)
    for sink in configs:
        address = f'google_logging_project_sink.anomalies["{sink.model_monitor_id}"]'
        for drifted in configs:
            entry = changed_entry(MONITOR_LABEL, drifted.model_monitor_id)
            assert lets_through(resources[address]["filter"], entry) is (drifted is sink)


def test_further_models_change_nothing_of_the_first(
    copied: TerraformCopy, with_dagster: dict[str, Any]
) -> None:
    def of_first(resources: dict[str, dict[str, Any]]) -> dict[str, Any]:
        names = {key: values for key, values in resources.items() if "terraform_data" not in key}
        # Who is told, and what is described, may concern several models.
        told = (
            "labels",
            "user_labels",
            "notification_channels",
            "documentation",
            "display_name",
            "title",
        )
        return {
            key: {name: value for name, value in values.items() if name not in told}
            for key, values in names.items()
        }

    together = of_first(planned_resources(with_dagster))
    alone = of_first(planned_resources(copied.plan()))

    assert alone == {key: together[key] for key in alone}


def test_an_alert_tells_the_channels_of_all_models_of_its_queue(
    with_dagster: dict[str, Any],
) -> None:
    resources = planned_resources(with_dagster)

    told = {
        address.partition(".")[2]: values["notification_channels"]
        for address, values in resources.items()
        if address.startswith("google_monitoring_alert_policy.")
    }
    of_second, of_third = (model(number)["notification_channels"] for number in (2, 3))
    assert told == {
        f'unacknowledged["{TOPIC}"]': of_second,
        f'unacknowledged["{OWN_TOPIC}"]': of_third,
        f'dead_letters["{TOPIC}-dead-letter-subscription"]': of_second,
        f'dead_letters["{OWN_TOPIC}-dead-letter-subscription"]': of_third,
    }


def test_queues_may_keep_their_dead_letters_together(copied: TerraformCopy) -> None:
    shared = {"trigger_topic": OWN_TOPIC, "dead_letter_topic": f"{TOPIC}-dead-letter"}
    copied.write_further_config("transak-i3.json", model(3, **shared))
    resources = planned_resources(copied.plan())

    assert _keys(resources, "google_pubsub_subscription.trigger") == {TOPIC, OWN_TOPIC}
    assert _keys(resources, "google_pubsub_topic.dead_letter") == {f"{TOPIC}-dead-letter"}
    (letters,) = _keys(resources, "google_pubsub_subscription.dead_letter")
    alert = resources[f'google_monitoring_alert_policy.dead_letters["{letters}"]']
    assert f"`{OWN_TOPIC}`" in alert["documentation"][0]["content"]


def test_each_queue_has_one_function_with_an_account_of_its_own(
    with_functions: dict[str, Any],
) -> None:
    resources = planned_resources(with_functions)

    functions = {TOPIC: "cf-transak-i1-train-trigger", OWN_TOPIC: "cf-transak-i3-train-trigger"}
    configs = {TOPIC: "monitoring_config.json", OWN_TOPIC: "monitoring_configs"}
    assert _keys(resources, "google_pubsub_subscription.trigger") == set()
    assert _keys(resources, "google_cloudfunctions2_function.trigger") == set(functions)
    for topic, name in functions.items():
        function = resources[f'google_cloudfunctions2_function.trigger["{topic}"]']
        (service,) = function["service_config"]
        assert function["name"] == name
        assert service["environment_variables"]["TRANSAK_DRIFT_CONFIG"] == configs[topic]
        account = resources[f'google_service_account.cloud_function["{topic}"]']
        assert account["account_id"] == name
        bucket = resources[f'google_storage_bucket.cloud_function_source["{topic}"]']
        assert bucket["name"] == f"af-finanzen-{name}-src"
        alert = resources[f'google_monitoring_alert_policy.cloud_function_errors["{topic}"]']
        (condition,) = alert["conditions"]
        assert f'"{name}"' in condition["condition_threshold"][0]["filter"]
    for address in (
        "google_cloud_run_v2_service_iam_member.cloud_function_invoker",
        "google_project_iam_member.cloud_function_reading",
        "google_project_iam_member.cloud_function_retraining",
        "google_pubsub_topic_iam_member.cloud_function_dead_letter_publisher",
        "google_service_account_iam_member.cloud_function_acts_as_pipeline",
    ):
        assert _keys(resources, address) == set(functions), address


def test_each_archive_holds_the_configurations_of_its_queue(
    three_models: TerraformCopy, with_functions: dict[str, Any], tmp_path: Path
) -> None:
    assert planned_outputs(with_functions)["live_trigger"] == "cloud_function"
    packed = {}
    for name in ("cf-transak-i1-train-trigger", "cf-transak-i3-train-trigger"):
        unpacked = tmp_path / name
        with zipfile.ZipFile(three_models.directory / ".terraform" / f"{name}.zip") as archive:
            archive.extractall(unpacked)
        assert (unpacked / "main.py").is_file()
        first = unpacked / "monitoring_config.json"
        packed[name] = load_configs(first if first.exists() else unpacked / "monitoring_configs")

    first, second, third = _loaded(three_models)
    assert packed == {
        "cf-transak-i1-train-trigger": (first, second),
        "cf-transak-i3-train-trigger": (third,),
    }


@pytest.mark.parametrize(
    "names",
    [
        ["monitoring_config.json"],
        ["monitoring_config.json", "monitoring_configs/b.json", "monitoring_configs/a.json"],
        ["folder/b.json", "folder/a.json"],
        ["folder/a.json", "folder/monitoring_config.json"],
        ["folder/a.json", "folder/b.schema.json", "folder/.c.json", "folder/d.txt"],
    ],
    ids="+".join,
)
def test_the_files_are_those_that_dagster_reads(copied: TerraformCopy, names: list[str]) -> None:
    for number, name in enumerate(names, start=2):
        path = copied.repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(model(number)), encoding="utf-8")
    named = copied.repository / names[0].partition("/")[0]
    plan = copied.plan(named.name, trigger="cloud_function")

    resources, outputs = planned_resources(plan), planned_outputs(plan)
    configs = load_configs(named)
    monitors = {config.model_monitor_id for config in configs}
    assert _keys(resources, "google_logging_project_sink.anomalies") == monitors
    assert sink_filter(configs[0].model_monitor_id) == outputs["sink_filter"]
    files = _keys(resources, "terraform_data.config")
    assert {(copied.directory / file).resolve() for file in files} == set(config_files(named))
    environment = outputs["dagster_environment"]
    assert load_configs(Path(environment["TRANSAK_DRIFT_CONFIG"])) == configs
    (function,) = _keys(resources, "google_cloudfunctions2_function.trigger")
    (service,) = resources[f'google_cloudfunctions2_function.trigger["{function}"]'][
        "service_config"
    ]
    (packed_source,) = copied.directory.glob(".terraform/*.zip")
    with zipfile.ZipFile(packed_source) as archive:
        archive.extractall(copied.repository / "unpacked")
    packed = service["environment_variables"]["TRANSAK_DRIFT_CONFIG"]
    assert load_configs(copied.repository / "unpacked" / packed) == configs


def test_dagster_has_a_sensor_for_each_planned_subscription(with_dagster: dict[str, Any]) -> None:
    variables = planned_outputs(with_dagster)["dagster_environment"]
    settings = Settings(
        platform=variables["TRANSAK_DRIFT_PLATFORM"],
        config=variables["TRANSAK_DRIFT_CONFIG"],
        trigger=variables["TRANSAK_DRIFT_TRIGGER"],
    )
    definitions = build_definitions(settings, settings.load_configs())

    sensors = [s for s in definitions.sensors or [] if "drift_message_sensor" in s.name]
    subscriptions = _keys(planned_resources(with_dagster), "google_pubsub_subscription.trigger")
    assert len(sensors) == len(subscriptions) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"project_id": "another-project", "trigger_topic": OWN_TOPIC}, "one apply is one project"),
        ({"location": "europe-west1"}, "one apply is one region"),
        ({"log_anomalies": False}, "log_anomalies"),
        ({"project_number": "42"}, "project_number"),
    ],
    ids=["project", "region", "nothing logged", "project number"],
)
def test_a_further_model_is_refused_with_the_name_of_its_file(
    copied: TerraformCopy, changes: dict[str, Any], told: str
) -> None:
    copied.write_further_config("transak-i2.json", model(2, **changes))
    refused = copied.try_plan()

    message = " ".join(refused.stderr.split())
    assert refused.returncode == 1
    assert told in message
    assert "monitoring_configs/transak-i2.json" in message


@pytest.mark.parametrize(
    ("changes", "variables", "told"),
    [
        ({"trigger_topic": "ps-i3"}, {}, "cf-i3"),
        ({"trigger_topic": "ps-transak-i3-train-trigger-of-zurich"}, {}, "service account"),
        ({"trigger_topic": "ps-Transak-i3"}, {}, "service account"),
        ({"trigger_topic": "transak-i1-train-trigger"}, {}, "is taken by"),
        (
            {"trigger_topic": OWN_TOPIC},
            {"dagster_service_account_id": "cf-transak-i3-train-trigger"},
            "dagster_service_account_id",
        ),
    ],
    ids=["short", "long", "upper case", "same name", "dagster's"],
)
def test_a_further_model_that_the_function_cannot_serve_is_refused(
    copied: TerraformCopy, changes: dict[str, Any], variables: dict[str, Any], told: str
) -> None:
    copied.write_further_config("transak-i3.json", model(3, **changes))
    refused = copied.try_plan(trigger="cloud_function", **variables)

    message = " ".join(refused.stderr.split())
    assert refused.returncode == 1
    assert told in message
    assert "monitoring_configs/transak-i3.json" in message


@pytest.mark.parametrize("vertex", [{}, {"pipeline_template": "compiled/train.yaml"}])
def test_a_plan_warns_of_a_function_without_a_pipeline(
    copied: TerraformCopy, vertex: dict[str, str]
) -> None:
    copied.write_config({**CONFIG, "vertex": vertex})
    copied.write_further_config("transak-i2.json", model(2))
    warned = copied.try_plan(trigger="cloud_function")

    message = " ".join(warned.stdout.split())
    assert warned.returncode == 0
    assert "Warning: Check block assertion failed" in message
    assert "vertex.pipeline_template in ../monitoring_config.json must be the address" in message

    silent = copied.try_plan(trigger="dagster")
    assert silent.returncode == 0
    assert "Warning" not in silent.stdout


def test_a_bucket_s_name_that_is_too_long_is_refused(copied: TerraformCopy) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "project_id": "p" * 30})
    refused = copied.try_plan(trigger="cloud_function", cloud_function_name="f" * 30)

    assert refused.returncode == 1
    assert "63 characters" in " ".join(refused.stderr.split())
