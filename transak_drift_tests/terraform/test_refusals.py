"""What the real Terraform refuses before it creates anything."""

from __future__ import annotations

from typing import Any

import pytest

from transak_drift.config.errors import ConfigError
from transak_drift_tests.terraform.schema_provider import PROJECT_NUMBER
from transak_drift_tests.terraform.terraform_command import (
    CONFIG,
    DEPLOYABLE_CONFIG,
    OWN_TOPIC,
    VARIABLES_FILE,
    TerraformCopy,
    further_model,
    message,
    needs_terraform,
)

pytestmark = needs_terraform


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("trigger", "both"),
        ("trigger", "Dagster"),
        ("config_path", "missing.json"),
        ("message_retention_days", 0),
        ("message_retention_days", 1.5),
        ("dead_letter_retention_days", 32),
        ("unacknowledged_age_minutes", 1),
        ("dagster_service_account_id", "dag"),
        ("dagster_impersonators", ["someone@example.org"]),
        ("pipeline_service_account", "someone@example.org"),
        ("pipeline_root_bucket", "gs://bucket"),
        ("cloud_function_name", "cf-" + "x" * 28),
    ],
)
def test_a_variable_out_of_its_limits_is_refused(
    copied: TerraformCopy, variable: str, value: Any
) -> None:
    refusal = copied.refusal(**{variable: value})
    assert "Invalid value for variable" in refusal
    assert variable in refusal


def test_of_a_configuration_that_dagster_refuses_nothing_is_written(copied: TerraformCopy) -> None:
    copied.write_config({**CONFIG, "location": "Zürich"})
    with pytest.raises(ConfigError, match="location"):
        copied.try_plan()
    assert not (copied.directory / VARIABLES_FILE).exists()
    refusal = message(copied.plan_as_written())
    assert "models is empty: run `transak-drift config terraform`" in refusal


def test_values_of_an_older_configuration_are_refused(copied: TerraformCopy) -> None:
    copied.write_config({**CONFIG, "project_number": PROJECT_NUMBER})
    assert copied.try_plan().returncode == 0
    copied.write_config({**CONFIG, "trigger_topic": "zz-topic"})
    refusal = message(copied.plan_as_written())
    assert "../monitoring_config.json is not the configuration that was" in refusal
    assert "transak-drift config terraform" in refusal


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
def test_a_model_is_refused_with_the_name_of_its_file(
    copied: TerraformCopy, changes: dict[str, Any], told: str
) -> None:
    copied.write_further_config("transak-i2.json", further_model(2, **changes))
    refusal = copied.refusal()
    assert told in refusal
    assert "monitoring_configs/transak-i2.json" in refusal


@pytest.mark.parametrize(
    ("topic", "variables", "told"),
    [
        ("ps-i3", {}, "cf-i3"),
        ("ps-transak-i3-train-trigger-of-zurich", {}, "service account"),
        ("ps-Transak-i3", {}, "service account"),
        ("transak-i1-train-trigger", {}, "is taken by"),
        (
            OWN_TOPIC,
            {"dagster_service_account_id": "cf-transak-i3-train-trigger"},
            "dagster_service_account_id",
        ),
    ],
    ids=["short", "long", "upper case", "same name", "dagster's"],
)
def test_a_model_that_the_function_cannot_serve_is_refused(
    copied: TerraformCopy, topic: str, variables: dict[str, Any], told: str
) -> None:
    copied.write_further_config("transak-i3.json", further_model(3, trigger_topic=topic))
    refusal = copied.refusal(trigger="cloud_function", **variables)
    assert told in refusal
    assert "monitoring_configs/transak-i3.json" in refusal


def test_a_bucket_s_name_that_is_too_long_is_refused(copied: TerraformCopy) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "project_id": "p" * 30})
    refusal = copied.refusal(trigger="cloud_function", cloud_function_name="f" * 30)
    assert "63 characters" in refusal


@pytest.mark.parametrize("vertex", [{}, {"pipeline_template": "compiled/train.yaml"}])
def test_a_plan_warns_of_a_function_without_a_pipeline(
    copied: TerraformCopy, vertex: dict[str, str]
) -> None:
    copied.write_config({**CONFIG, "vertex": vertex})
    copied.write_further_config("transak-i2.json", further_model(2))
    warned = copied.try_plan(trigger="cloud_function")
    told = " ".join(warned.stdout.split())
    assert warned.returncode == 0
    assert "Warning: Check block assertion failed" in told
    assert "vertex.pipeline_template in ../monitoring_config.json must be the address" in told

    silent = copied.try_plan(trigger="dagster")
    assert silent.returncode == 0
    assert "Warning" not in silent.stdout
