"""What the real Terraform plans from the configuration, with providers that know the schemas."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.monitoring_config import MonitoringConfig, load_config
from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.google_cloud.project_access import (
    BATCH_PREDICTION_PERMISSIONS,
    CANCEL_PERMISSIONS,
    VERTEX_PERMISSIONS,
)
from transak_drift.pubsub import trigger_queue
from transak_drift.settings import ENVIRONMENT_PREFIX, Settings
from transak_drift.trigger.message import ACK_DEADLINE_SECONDS
from transak_drift.trigger.sink_filter import TEMPLATE_NAME, lets_through, sink_filter
from transak_drift_tests.terraform.hcl_files import REPOSITORY
from transak_drift_tests.terraform.schema_provider import PROJECT_NUMBER
from transak_drift_tests.terraform.terraform_command import (
    CONFIG,
    DEPLOYABLE_CONFIG,
    TerraformCopy,
    needs_terraform,
    planned_outputs,
    planned_resources,
)
from transak_drift_tests.trigger.log_entries import OTHER_ENTRIES, OUR_ENTRIES

pytestmark = needs_terraform

CLOUD_FUNCTION = REPOSITORY / "transak_drift" / "cloud_function"
EVERY_NAME: dict[str, Any] = {
    "project_id": "zz-projekt",
    "location": "europe-north9",
    "model_name": "zz-model",
    "monitoring_job_display_name": "zz_monitor_name",
    "notification_channels": ["projects/zz-projekt/notificationChannels/77"],
    "model_monitor_id": "zz-monitor",
    "further_model_monitor_ids": ["4412345678901234567"],
    "training_pipeline": "zz-pipeline",
    "trigger_topic": "zz-topic",
    "trigger_subscription": "zz-pull",
    "dead_letter_topic": "zz-rejected",
    "dead_letter_subscription": "zz-rejected-pull",
}
NOTIFICATION_AGENT = (
    f"serviceAccount:service-{PROJECT_NUMBER}"
    "@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
)
MONITORING_AGENT = (
    f"serviceAccount:service-{PROJECT_NUMBER}@gcp-sa-vertex-mm.iam.gserviceaccount.com"
)
TOPIC = "ps-transak-i1-train-trigger"


@pytest.fixture
def copied(tmp_path: Path) -> TerraformCopy:
    return TerraformCopy(tmp_path / "repository")


def _loaded(copied: TerraformCopy) -> MonitoringConfig:
    return load_config(copied.repository / "monitoring_config.json")


def _sink(config: MonitoringConfig) -> str:
    return f'google_logging_project_sink.anomalies["{config.model_monitor_id}"]'


def _names(config: MonitoringConfig) -> dict[str, str]:
    return {
        f'google_pubsub_topic.trigger["{config.trigger_topic}"]': config.trigger_topic,
        f'google_pubsub_topic.dead_letter["{config.dead_letter_topic}"]': config.dead_letter_topic,
        f'google_pubsub_subscription.trigger["{config.trigger_topic}"]': (
            config.trigger_subscription
        ),
        f'google_pubsub_subscription.dead_letter["{config.dead_letter_subscription}"]': (
            config.dead_letter_subscription
        ),
        _sink(config): f"{config.model_monitor_id}-anomalies",
    }


def test_the_configuration_is_valid(copied: TerraformCopy) -> None:
    result = copied.run("validate", "-json")
    assert json.loads(result.stdout)["diagnostics"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        EVERY_NAME,
        {"trigger_topic": "zz-topic"},
    ],
    ids="+".join,
)
def test_the_names_are_those_that_dagster_reads_from_the_same_file(
    copied: TerraformCopy, changes: dict[str, Any]
) -> None:
    copied.write_config({**CONFIG, **changes})
    config = _loaded(copied)
    resources = planned_resources(copied.plan())
    names = _names(config)
    assert {address: resources[address]["name"] for address in names} == names
    assert resources[_sink(config)]["filter"] == sink_filter(
        config.model_monitor_id, config.further_model_monitor_ids
    )


@pytest.mark.parametrize("key", EVERY_NAME)
def test_a_name_changed_in_the_config_changes_everywhere(copied: TerraformCopy, key: str) -> None:
    copied.write_config(CONFIG)
    before = _loaded(copied).model_dump(mode="json")[key]
    copied.write_config({**CONFIG, key: EVERY_NAME[key]})
    planned = json.dumps(copied.plan()["planned_values"])
    after = _loaded(copied).model_dump(mode="json")[key]
    old, new = (
        value[0] if isinstance(value, list) and value else value for value in (before, after)
    )
    if key == "monitoring_job_display_name":
        old, new = "transak-i1-data-drift-monitor", "zz-monitor-name"
    assert new in planned
    assert not old or old not in planned


def test_nothing_of_the_old_names_is_left(copied: TerraformCopy) -> None:
    config = _loaded(copied)
    copied.write_config({**CONFIG, **EVERY_NAME})
    planned = json.dumps(copied.plan()["planned_values"])
    old = [config.project_id, config.location, config.model_name, config.model_monitor_id]
    old += [config.training_pipeline, *_names(config).values()]
    assert [name for name in old if name in planned] == []


def test_the_sink_lets_through_only_what_our_monitors_log(copied: TerraformCopy) -> None:
    sink = planned_resources(copied.plan())[_sink(_loaded(copied))]
    assert all(lets_through(sink["filter"], entry) for entry in OUR_ENTRIES.values())
    assert not any(lets_through(sink["filter"], entry) for entry in OTHER_ENTRIES.values())
    assert sink["unique_writer_identity"] is True


@pytest.mark.parametrize("line", range(2))
def test_a_weakened_filter_would_let_something_else_through(
    copied: TerraformCopy, line: int
) -> None:
    """The plan takes the very file that the local log router reads, and each line of it counts."""
    template = copied.repository / "transak_drift" / "trigger" / TEMPLATE_NAME
    lines = template.read_text(encoding="utf-8").splitlines()
    comparisons = [text for text in lines if not text.startswith("--")]
    del comparisons[line]
    template.write_text("\n".join(comparisons).removeprefix("AND "), encoding="utf-8")
    sink = planned_resources(copied.plan())[_sink(_loaded(copied))]
    assert any(lets_through(sink["filter"], entry) for entry in OTHER_ENTRIES.values())


def test_the_subscription_is_the_one_that_the_local_platform_makes(copied: TerraformCopy) -> None:
    topic = _loaded(copied).trigger_topic
    subscription = planned_resources(copied.plan())[
        f'google_pubsub_subscription.trigger["{topic}"]'
    ]
    assert subscription["ack_deadline_seconds"] == ACK_DEADLINE_SECONDS
    assert subscription["message_retention_duration"] == f"{trigger_queue.RETENTION_SECONDS}s"
    (dead_letters,) = subscription["dead_letter_policy"]
    assert dead_letters["max_delivery_attempts"] == trigger_queue.MAX_DELIVERY_ATTEMPTS
    assert subscription["enable_exactly_once_delivery"] is True
    assert subscription["expiration_policy"] == [{"ttl": ""}]


def test_every_grant_refers_to_what_it_is_meant_for(copied: TerraformCopy) -> None:
    plan = copied.plan()
    grants = {
        resource["address"]: (
            sorted(
                reference
                for name in ("topic", "subscription", "service_account_id", "role", "member")
                for reference in resource["expressions"].get(name, {}).get("references", [])
                if reference.count(".") == 1 or reference.startswith("google_project_iam_custom")
            ),
            resource["expressions"]["role"].get("constant_value"),
        )
        for resource in plan["configuration"]["root_module"]["resources"]
        if resource["type"].endswith("_iam_member")
    }
    assert grants["google_pubsub_topic_iam_member.sink_publisher"] == (
        [
            *("each.key", "each.value"),
            *("google_logging_project_sink.anomalies", "google_pubsub_topic.trigger"),
        ],
        "roles/pubsub.publisher",
    )
    assert grants["google_pubsub_topic_iam_member.service_agent_dead_letter_publisher"] == (
        ["each.key", "google_pubsub_topic.dead_letter", "local.pubsub_service_agent"],
        "roles/pubsub.publisher",
    )
    assert grants["google_pubsub_subscription_iam_member.service_agent_trigger_subscriber"] == (
        ["each.key", "google_pubsub_subscription.trigger", "local.pubsub_service_agent"],
        "roles/pubsub.subscriber",
    )
    assert grants["google_pubsub_subscription_iam_member.dagster_trigger_subscriber"] == (
        ["each.key", "google_pubsub_subscription.trigger", "google_service_account.dagster"],
        "roles/pubsub.subscriber",
    )
    resources = planned_resources(plan)
    service_agent = f"serviceAccount:service-{PROJECT_NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    assert {
        address for address, values in resources.items() if values.get("member") == service_agent
    } == {
        f'google_pubsub_topic_iam_member.service_agent_dead_letter_publisher["{TOPIC}-dead-letter"]',
        f'google_pubsub_subscription_iam_member.service_agent_trigger_subscriber["{TOPIC}"]',
    }


def test_the_notification_channel_publishes_to_the_trigger_topic(copied: TerraformCopy) -> None:
    plan = copied.plan()
    resources = planned_resources(plan)
    channel = resources[f'google_monitoring_notification_channel.trigger["{TOPIC}"]']
    assert channel["type"] == "pubsub"
    (declared,) = (
        resource
        for resource in plan["configuration"]["root_module"]["resources"]
        if resource["type"] == "google_monitoring_notification_channel"
    )
    assert "google_pubsub_topic.trigger" in declared["expressions"]["labels"]["references"]
    publisher = resources[f'google_pubsub_topic_iam_member.channel_publisher["{TOPIC}"]']
    assert publisher["role"] == "roles/pubsub.publisher"
    assert publisher["member"] == NOTIFICATION_AGENT
    # Its name is known once it exists, and with it the variable that Dagster takes it from.
    unknown = plan["output_changes"]["dagster_environment"]["after_unknown"]
    assert unknown == {"TRANSAK_DRIFT_TRIGGER_CHANNELS": True}

    without = copied.plan(trigger_channel=False)
    assert not any("channel" in address for address in planned_resources(without))
    environment = planned_outputs(without)["dagster_environment"]
    assert environment["TRANSAK_DRIFT_TRIGGER_CHANNELS"] == "{}"


def test_no_alert_comes_to_the_trigger_topic(copied: TerraformCopy) -> None:
    plan = copied.plan()
    for resource in plan["configuration"]["root_module"]["resources"]:
        if resource["type"] == "google_monitoring_alert_policy":
            assert resource["expressions"]["notification_channels"]["references"] == [
                "each.value.notification_channels",
                "each.value",
            ]


def test_the_named_output_is_open_to_the_monitoring_agent_and_to_dagster(
    copied: TerraformCopy,
) -> None:
    def bucket_grants() -> dict[str, tuple[str, str, str | None]]:
        return {
            address: (values["bucket"], values["role"], values.get("member"))
            for address, values in planned_resources(copied.plan()).items()
            if address.startswith("google_storage_bucket_iam_member.")
        }

    assert bucket_grants() == {}
    copied.write_config({**CONFIG, "vertex": {"monitoring_output": "gs://af-monitoring/drift"}})
    second = {**CONFIG, "model_name": "i2", "monitoring_job_display_name": "i2"}
    second["vertex"] = {"monitoring_output": "gs://af-monitoring"}
    copied.write_further_config("i2.json", second)
    role = "roles/storage.objectUser"
    assert bucket_grants() == {
        'google_storage_bucket_iam_member.monitoring_agent_output["af-monitoring"]': (
            "af-monitoring",
            role,
            MONITORING_AGENT,
        ),
        # Its member is known once Dagster's account exists.
        'google_storage_bucket_iam_member.dagster_output["af-monitoring"]': (
            "af-monitoring",
            role,
            None,
        ),
    }


def test_the_roles_hold_what_is_called_once_each(copied: TerraformCopy) -> None:
    copied.write_config(DEPLOYABLE_CONFIG)
    plan = copied.plan(trigger="cloud_function")
    roles = {
        address.rpartition(".")[2]: set(values["permissions"])
        for address, values in planned_resources(plan).items()
        if address.startswith("google_project_iam_custom_role.")
    }
    granted = {
        member: {
            resource["expressions"]["role"]["references"][1].rpartition(".")[2]
            for resource in plan["configuration"]["root_module"]["resources"]
            if resource["type"] == "google_project_iam_member"
            and f"google_service_account.{member}"
            in resource["expressions"]["member"]["references"]
        }
        for member in ("dagster", "cloud_function")
    }
    assert granted == {
        "dagster": {"reading", "monitoring", "retraining"},
        "cloud_function": {"reading", "retraining"},
    }
    assert sum(map(len, roles.values())) == len(set().union(*roles.values()))
    needed = set(VERTEX_PERMISSIONS + BATCH_PREDICTION_PERMISSIONS + CANCEL_PERMISSIONS)
    assert set().union(*roles.values()) - needed == {"aiplatform.pipelineJobs.list"}
    assert needed <= set().union(*roles.values())
    writing = ("create", "update", "delete", "cancel")
    assert not any(name.endswith(writing) for name in roles["reading"])


def test_dagster_may_do_what_it_needs_and_no_more(copied: TerraformCopy) -> None:
    resources = planned_resources(
        copied.plan(
            pipeline_root_bucket="af-pipelines",
            pipeline_service_account="pipelines@af-finanzen.iam.gserviceaccount.com",
            dagster_impersonators=["group:data@example.org"],
        )
    )
    dagster = {
        address.partition(".")[2]: values.get("role")
        for address, values in resources.items()
        if address.split(".")[1].startswith("dagster") and "iam_member" in address
    }
    assert dagster == {
        f'dagster_dead_letter_publisher["{TOPIC}-dead-letter"]': "roles/pubsub.publisher",
        f'dagster_dead_letter_subscriber["{TOPIC}-dead-letter-subscription"]': (
            "roles/pubsub.subscriber"
        ),
        f'dagster_trigger_publisher["{TOPIC}"]': "roles/pubsub.publisher",
        f'dagster_trigger_subscriber["{TOPIC}"]': "roles/pubsub.subscriber",
        f'dagster_trigger_viewer["{TOPIC}"]': "roles/pubsub.viewer",
        # Known after apply: the custom roles.
        "dagster_reading": None,
        "dagster_monitoring": None,
        "dagster_retraining": None,
        "dagster_acts_as_pipeline": "roles/iam.serviceAccountUser",
        "dagster_pipeline_root[0]": "roles/storage.objectUser",
        'dagster_impersonators["group:data@example.org"]': "roles/iam.serviceAccountTokenCreator",
    }
    assert resources["google_service_account_iam_member.dagster_acts_as_pipeline"][
        "service_account_id"
    ] == ("projects/af-finanzen/serviceAccounts/pipelines@af-finanzen.iam.gserviceaccount.com")


def test_the_alerts_watch_both_subscriptions_and_tell_the_configured_channels(
    copied: TerraformCopy,
) -> None:
    channels = ["projects/af-finanzen/notificationChannels/1"]
    copied.write_config({**CONFIG, "notification_channels": channels})
    config = _loaded(copied)
    resources = planned_resources(copied.plan(unacknowledged_age_minutes=30))
    watched = {}
    for address, values in resources.items():
        if address.startswith("google_monitoring_alert_policy."):
            assert values["notification_channels"] == channels
            (condition,) = values["conditions"]
            (threshold,) = condition["condition_threshold"]
            watched[address.partition(".")[2]] = threshold
    unacknowledged = f'unacknowledged["{config.trigger_topic}"]'
    dead_letters = f'dead_letters["{config.dead_letter_subscription}"]'
    assert set(watched) == {unacknowledged, dead_letters}
    assert f'"{config.trigger_subscription}"' in watched[unacknowledged]["filter"]
    assert watched[unacknowledged]["threshold_value"] == 1800
    assert f'"{config.dead_letter_subscription}"' in watched[dead_letters]["filter"]
    assert watched[dead_letters]["threshold_value"] == 0


def test_the_environment_is_one_that_dagster_reads(copied: TerraformCopy) -> None:
    environment = planned_outputs(copied.plan())["dagster_environment"]
    fields = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    settings = Settings.model_validate(fields)
    assert settings.platform == "gcp"
    assert settings.load_config() == _loaded(copied)
    assert set(fields) <= set(Settings.model_fields)
    assert environment["GOOGLE_CLOUD_PROJECT"] == CONFIG["project_id"]


def _planned_sensors(plan: Mapping[str, Any]) -> set[str]:
    """Return the sensors that Dagster has in the planned environment."""
    variables = planned_outputs(plan)["dagster_environment"]
    settings = Settings(
        platform=variables["TRANSAK_DRIFT_PLATFORM"],
        config=variables["TRANSAK_DRIFT_CONFIG"],
        trigger=variables["TRANSAK_DRIFT_TRIGGER"],
    )
    definitions = build_definitions(settings, settings.load_configs())
    return {sensor.name for sensor in definitions.sensors or []}


def test_dagster_is_the_one_live_trigger(copied: TerraformCopy) -> None:
    plan = copied.plan()
    resources = planned_resources(plan)
    assert f'google_pubsub_subscription.trigger["{TOPIC}"]' in resources
    assert not any("cloud_function" in address for address in resources)
    assert planned_outputs(plan)["cloud_function"] is None
    assert planned_outputs(plan)["live_trigger"] == "dagster"
    assert SENSOR_NAME in _planned_sensors(plan)


def test_the_cloud_function_is_the_one_live_trigger(copied: TerraformCopy) -> None:
    copied.write_config(DEPLOYABLE_CONFIG)
    plan = copied.plan(trigger="cloud_function")
    resources = planned_resources(plan)
    assert not any("subscription.trigger[" in address for address in resources)
    assert SENSOR_NAME not in _planned_sensors(plan)
    function = resources[f'google_cloudfunctions2_function.trigger["{TOPIC}"]']
    assert function["name"] == "cf-transak-i1-train-trigger"
    assert function["build_config"][0]["entry_point"] == "handle_drift_message"
    assert function["event_trigger"][0]["retry_policy"] == "RETRY_POLICY_RETRY"
    assert planned_outputs(plan)["trigger_subscription"] is None
    assert planned_outputs(plan)["live_trigger"] == "cloud_function"


def test_the_packed_source_holds_all_that_the_function_imports(
    copied: TerraformCopy, tmp_path: Path
) -> None:
    copied.write_config(DEPLOYABLE_CONFIG)
    copied.plan(trigger="cloud_function")
    (archive,) = copied.directory.glob(".terraform/*.zip")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as source:
        source.extractall(unpacked)
    code = (
        "import main, transak_drift; main.handle_drift_message; "
        "print(main.__file__, transak_drift.__file__)"
    )
    environment = {
        "PYTHONPATH": str(unpacked),
        "TRANSAK_DRIFT_CONFIG": "monitoring_config.json",
        "TRANSAK_DRIFT_VERTEX_ENDPOINT": "127.0.0.1:1",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    }
    imported = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert imported.returncode == 0, imported.stderr
    assert all(Path(file).is_relative_to(unpacked) for file in imported.stdout.split())
    source = (unpacked / "monitoring_config.json").read_text(encoding="utf-8")
    assert json.loads(source) == DEPLOYABLE_CONFIG


def test_a_long_name_of_the_model_fits_the_account_that_it_describes(
    copied: TerraformCopy,
) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "model_name": "m" * 128})
    resources = planned_resources(copied.plan(trigger="cloud_function"))
    described = [
        values["display_name"]
        for address, values in resources.items()
        if address.startswith("google_service_account.")
    ]
    assert [len(name) for name in described] == [100, 100]
