"""What the real Terraform plans from the configuration, with providers that know the schemas."""

from __future__ import annotations

import json
from typing import Any

from transak_drift.config.monitoring_config import MonitoringConfig, load_config
from transak_drift.google_cloud.inspection import (
    BATCH_PREDICTION_PERMISSIONS,
    CANCEL_PERMISSIONS,
    VERTEX_PERMISSIONS,
)
from transak_drift.pubsub import trigger_queue
from transak_drift.pubsub.trigger_queue import ACK_DEADLINE_SECONDS
from transak_drift.settings import ENVIRONMENT_PREFIX, Settings
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift_tests.config.configurations import CONFIG_FILE
from transak_drift_tests.terraform.conftest import PIPELINE_ACCOUNT
from transak_drift_tests.terraform.schema_provider import PROJECT_NUMBER
from transak_drift_tests.terraform.terraform_command import (
    DEPLOYABLE_CONFIG,
    TOPIC,
    Plan,
    TerraformCopy,
    needs_terraform,
)

pytestmark = needs_terraform

EVERY_NAME: dict[str, Any] = {
    "project_id": "zz-projekt",
    "location": "europe-north9",
    "model_name": "zz-model",
    "monitoring_job_display_name": "zz_monitor_name",
    "notification_channels": ["projects/zz-projekt/notificationChannels/77"],
    "further_model_monitor_ids": ["4412345678901234567"],
    "training_pipeline": "zz-pipeline",
    "trigger_topic": "zz-topic",
    "trigger_subscription": "zz-pull",
    "dead_letter_topic": "zz-rejected",
    "dead_letter_subscription": "zz-rejected-pull",
}
PUBLISHER, SUBSCRIBER = "roles/pubsub.publisher", "roles/pubsub.subscriber"


def service_agent(service: str) -> str:
    return f"serviceAccount:service-{PROJECT_NUMBER}@gcp-sa-{service}.iam.gserviceaccount.com"


def _sink(config: MonitoringConfig) -> str:
    return f'google_logging_project_sink.anomalies["{config.model_monitor_id}"]'


def _names(config: MonitoringConfig) -> dict[str, str]:
    topic, letters = config.trigger_topic, config.dead_letter_topic
    kept = config.dead_letter_subscription
    return {
        f'google_pubsub_topic.trigger["{topic}"]': topic,
        f'google_pubsub_topic.dead_letter["{letters}"]': letters,
        f'google_pubsub_subscription.trigger["{topic}"]': config.trigger_subscription,
        f'google_pubsub_subscription.dead_letter["{kept}"]': kept,
        _sink(config): f"{config.model_monitor_id}-anomalies",
    }


def test_the_names_are_those_that_dagster_reads_from_the_same_file(
    copied: TerraformCopy, plan: Plan
) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, **EVERY_NAME})
    before, config = load_config(CONFIG_FILE), load_config(copied.config_file)
    changed_plan = copied.plan()
    for planned, used in ((plan, before), (changed_plan, config)):
        names = _names(used)
        assert {address: planned.resources[address]["name"] for address in names} == names
        sink = planned.resources[_sink(used)]
        expected = sink_filter(used.model_monitor_id, used.further_model_monitor_ids)
        assert sink["filter"] == expected
        assert sink["unique_writer_identity"] is True

    values = json.dumps(changed_plan.document["planned_values"])
    for key, value in EVERY_NAME.items():
        old, new = getattr(before, key), value[0] if isinstance(value, list) else value
        if key == "monitoring_job_display_name":
            old, new = before.model_monitor_id, config.model_monitor_id
        assert new in values, key
        assert not old or old not in values, key


def test_the_subscription_is_the_one_that_the_local_platform_makes(plan: Plan) -> None:
    subscription = plan.resources[f'google_pubsub_subscription.trigger["{TOPIC}"]']
    assert subscription["ack_deadline_seconds"] == ACK_DEADLINE_SECONDS
    assert subscription["message_retention_duration"] == f"{trigger_queue.RETENTION_SECONDS}s"
    (dead_letters,) = subscription["dead_letter_policy"]
    assert dead_letters["max_delivery_attempts"] == trigger_queue.MAX_DELIVERY_ATTEMPTS
    assert subscription["enable_exactly_once_delivery"] is True
    assert subscription["expiration_policy"] == [{"ttl": ""}]


def test_every_grant_refers_to_what_it_is_meant_for(plan: Plan) -> None:
    grants = {
        address: (
            {
                reference
                for name in ("topic", "subscription", "role", "member")
                for reference in expressions.get(name, {}).get("references", [])
                if reference.count(".") == 1 and not reference.startswith("each.")
            },
            expressions["role"].get("constant_value"),
        )
        for address, expressions in plan.declared("_iam_member").items()
    }
    topic, kept = "google_pubsub_topic_iam_member", "google_pubsub_subscription_iam_member"
    trigger, dead_letter = "google_pubsub_topic.trigger", "google_pubsub_topic.dead_letter"
    pull, agent = "google_pubsub_subscription.trigger", "local.pubsub_service_agent"
    sink, dagster = "google_logging_project_sink.anomalies", "google_service_account.dagster"
    assert grants[f"{topic}.sink_publisher"] == ({sink, trigger}, PUBLISHER)
    expected = ({dead_letter, agent}, PUBLISHER)
    assert grants[f"{topic}.service_agent_dead_letter_publisher"] == expected
    assert grants[f"{kept}.service_agent_trigger_subscriber"] == ({pull, agent}, SUBSCRIBER)
    assert grants[f"{kept}.dagster_trigger_subscriber"] == ({pull, dagster}, SUBSCRIBER)


def test_the_notification_channel_publishes_to_the_trigger_topic(
    plan: Plan, optional: Plan
) -> None:
    channel = plan.resources[f'google_monitoring_notification_channel.trigger["{TOPIC}"]']
    assert channel["type"] == "pubsub"
    (declared,) = plan.declared("google_monitoring_notification_channel").values()
    assert "google_pubsub_topic.trigger" in declared["labels"]["references"]
    publisher = plan.resources[f'google_pubsub_topic_iam_member.channel_publisher["{TOPIC}"]']
    assert publisher["role"] == PUBLISHER
    assert publisher["member"] == service_agent("monitoring-notification")
    # Its name is known once it exists, and with it the variable that Dagster takes it from.
    unknown = plan.document["output_changes"]["dagster_environment"]["after_unknown"]
    assert unknown == {"TRANSAK_DRIFT_TRIGGER_CHANNELS": True}
    # No alert comes to the trigger topic.
    for expressions in plan.declared("google_monitoring_alert_policy").values():
        told = expressions["notification_channels"]["references"]
        assert told == ["each.value.notification_channels", "each.value"]

    assert not any("channel" in address for address in optional.resources)
    environment = optional.outputs["dagster_environment"]
    assert environment["TRANSAK_DRIFT_TRIGGER_CHANNELS"] == "{}"


def test_the_named_output_is_open_to_the_monitoring_agent_and_to_dagster(
    with_dagster: Plan, plan: Plan
) -> None:
    assert plan.of_type("google_storage_bucket_iam_member") == {}
    assert {
        name: (values["bucket"], values["role"], values.get("member"))
        for name, values in with_dagster.of_type("google_storage_bucket_iam_member").items()
    } == {
        'monitoring_agent_output["af-monitoring"]': (
            *("af-monitoring", "roles/storage.objectUser"),
            service_agent("vertex-mm"),
        ),
        # Its member is known once Dagster's account exists.
        'dagster_output["af-monitoring"]': ("af-monitoring", "roles/storage.objectUser", None),
    }


def test_the_roles_hold_what_is_called_once_each(with_functions: Plan) -> None:
    roles = {
        name: set(values["permissions"])
        for name, values in with_functions.of_type("google_project_iam_custom_role").items()
    }
    # On the whole project a custom role is given; predefined ones go to one resource.
    granted = {
        (grantee, expressions["role"]["references"][1].rpartition(".")[2])
        for expressions in with_functions.declared("google_project_iam_member").values()
        for grantee in ("dagster", "cloud_function")
        if f"google_service_account.{grantee}" in expressions["member"]["references"]
    }
    assert granted == {
        *(("dagster", role) for role in ("reading", "monitoring", "retraining")),
        *(("cloud_function", role) for role in ("reading", "retraining")),
    }
    held = set().union(*roles.values())
    assert sum(map(len, roles.values())) == len(held)
    needed = set(VERTEX_PERMISSIONS + BATCH_PREDICTION_PERMISSIONS + CANCEL_PERMISSIONS)
    assert needed <= held
    assert held - needed == {"aiplatform.pipelineJobs.list"}
    assert all(name.startswith("aiplatform.") for name in held)
    assert not any(name.endswith((".delete", ".setIamPolicy")) for name in held)
    writing = ("create", "update", "delete", "cancel")
    assert not any(name.endswith(writing) for name in roles["reading"])


def test_dagster_may_do_what_it_needs_and_no_more(optional: Plan) -> None:
    assert {
        address.partition(".")[2]: values.get("role")
        for address, values in optional.resources.items()
        if address.split(".")[1].startswith("dagster") and "iam_member" in address
    } == {
        f'dagster_dead_letter_publisher["{TOPIC}-dead-letter"]': PUBLISHER,
        f'dagster_dead_letter_subscriber["{TOPIC}-dead-letter-subscription"]': SUBSCRIBER,
        f'dagster_trigger_publisher["{TOPIC}"]': PUBLISHER,
        f'dagster_trigger_subscriber["{TOPIC}"]': SUBSCRIBER,
        f'dagster_trigger_viewer["{TOPIC}"]': "roles/pubsub.viewer",
        # Known after apply: the custom roles.
        "dagster_reading": None,
        "dagster_monitoring": None,
        "dagster_retraining": None,
        "dagster_acts_as_pipeline": "roles/iam.serviceAccountUser",
        "dagster_pipeline_root[0]": "roles/storage.objectUser",
        'dagster_impersonators["group:data@example.org"]': "roles/iam.serviceAccountTokenCreator",
    }
    acting = optional.resources["google_service_account_iam_member.dagster_acts_as_pipeline"]
    account = f"projects/af-finanzen/serviceAccounts/{PIPELINE_ACCOUNT}"
    assert acting["service_account_id"] == account


def test_the_alerts_watch_both_subscriptions(optional: Plan) -> None:
    watched = {}
    for name, values in optional.of_type("google_monitoring_alert_policy").items():
        (condition,) = values["conditions"]
        (watched[name],) = condition["condition_threshold"]
    unacknowledged = watched.pop(f'unacknowledged["{TOPIC}"]')
    dead_letters = watched.pop(f'dead_letters["{TOPIC}-dead-letter-subscription"]')
    assert watched == {}
    assert f'"{TOPIC}-subscription"' in unacknowledged["filter"]
    assert unacknowledged["threshold_value"] == 1800
    assert f'"{TOPIC}-dead-letter-subscription"' in dead_letters["filter"]
    assert dead_letters["threshold_value"] == 0


def test_dagster_reads_the_environment_and_is_the_one_live_trigger(
    plan: Plan,
) -> None:
    environment = plan.outputs["dagster_environment"]
    fields = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    assert set(fields) <= set(Settings.model_fields)
    settings = Settings.model_validate(fields)
    assert settings.platform == "gcp"
    assert settings.load_config() == load_config(plan.copied.config_file)
    assert environment["GOOGLE_CLOUD_PROJECT"] == DEPLOYABLE_CONFIG["project_id"]
    assert not any("cloud_function" in address for address in plan.resources)
    assert (plan.outputs["cloud_function"], plan.outputs["live_trigger"]) == (None, "dagster")
