"""What the real Terraform refuses before it creates anything; one plan names every fault."""

from __future__ import annotations

from typing import Any

import pytest

from transak_drift.config.errors import ConfigError
from transak_drift_tests.terraform.schema_provider import PROJECT_NUMBER
from transak_drift_tests.terraform.terraform_command import (
    DEPLOYABLE_CONFIG,
    OWN_TOPIC,
    VARIABLES_FILE,
    TerraformCopy,
    further_model,
    message,
    needs_terraform,
)

pytestmark = needs_terraform


def test_a_variable_out_of_its_limits_is_refused(copied: TerraformCopy) -> None:
    variables = {
        "trigger": "both",
        "config_path": "missing.json",
        "message_retention_days": 1.5,
        "dead_letter_retention_days": 32,
        "unacknowledged_age_minutes": 1,
        "dagster_service_account_id": "dag",
        "dagster_impersonators": ["someone@example.org"],
        "pipeline_service_account": "someone@example.org",
        "pipeline_root_bucket": "gs://bucket",
        "cloud_function_name": "cf-" + "x" * 28,
    }
    refusal = copied.refusal(**variables)
    assert refusal.count("Invalid value for variable") == len(variables)
    for name in variables:
        assert f'variable "{name}"' in refusal


def test_of_a_configuration_that_dagster_refuses_nothing_is_written(copied: TerraformCopy) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "location": "Zürich"})
    with pytest.raises(ConfigError, match="location"):
        copied.try_plan()
    assert not (copied.directory / VARIABLES_FILE).exists()
    refusal = message(copied.plan_as_written())
    assert "models is empty: run `transak-drift config terraform`" in refusal


def test_values_of_an_older_configuration_are_refused(copied: TerraformCopy) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "project_number": PROJECT_NUMBER})
    planned = copied.try_plan()
    assert planned.returncode == 0
    assert "Warning" not in planned.stdout
    copied.write_config({**DEPLOYABLE_CONFIG, "trigger_topic": "zz-topic"})
    refusal = message(copied.plan_as_written())
    assert "../monitoring_config.json is not the configuration that was" in refusal
    assert "transak-drift config terraform" in refusal


def test_a_model_is_refused_with_the_name_of_its_file(copied: TerraformCopy) -> None:
    elsewhere = {"project_id": "another-project", "trigger_topic": "ps-transak-i2-train-trigger"}
    no_account = "which cannot be that of a service account"
    faults: dict[str, tuple[dict[str, Any], str]] = {
        "project": (elsewhere, "one apply is one project"),
        "location": ({"location": "europe-west1"}, "one apply is one region"),
        "silent": ({"log_anomalies": False}, "log_anomalies"),
        "number": ({"project_number": "42"}, "project_number"),
        # What the function cannot serve.
        "short": ({"trigger_topic": "ps-i3"}, f"cf-i3, {no_account}"),
        "long": ({"trigger_topic": "ps-" + "x" * 28}, f"cf-{'x' * 28}, {no_account}"),
        "case": ({"trigger_topic": "ps-Transak-i3"}, f"cf-Transak-i3, {no_account}"),
        "same": (
            {"trigger_topic": "transak-i1-train-trigger"},
            "is taken by ../monitoring_config.json",
        ),
        "dagster": ({"trigger_topic": OWN_TOPIC}, "is taken by dagster_service_account_id"),
    }
    for number, (name, (changes, _)) in enumerate(faults.items(), start=2):
        copied.write_further_config(f"{name}.json", further_model(number, **changes))
    account = "cf-transak-i3-train-trigger"
    refusal = copied.refusal(trigger="cloud_function", dagster_service_account_id=account)
    for name, (_, told) in faults.items():
        assert told in refusal
        assert f"monitoring_configs/{name}.json" in refusal


def test_a_bucket_s_name_that_is_too_long_is_refused(copied: TerraformCopy) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "project_id": "p" * 30})
    refusal = copied.refusal(trigger="cloud_function", cloud_function_name="f" * 30)
    assert "63 characters" in refusal


def test_a_plan_warns_of_a_function_without_a_pipeline(copied: TerraformCopy) -> None:
    copied.write_config({**DEPLOYABLE_CONFIG, "vertex": {}})
    local = {"pipeline_template": "compiled/train.yaml"}
    copied.write_further_config("transak-i2.json", further_model(2, vertex=local))
    copied.write_further_config("transak-i3.json", further_model(3))
    warned = copied.try_plan(trigger="cloud_function")
    told = " ".join(warned.stdout.split())
    assert warned.returncode == 0
    assert "Warning: Check block assertion failed" in told
    files = "../monitoring_config.json, ../monitoring_configs/transak-i2.json"
    assert f"vertex.pipeline_template in {files} must be the address" in told
