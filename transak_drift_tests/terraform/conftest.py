"""Copies of the configuration, and plans that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from transak_drift_tests.terraform.terraform_command import (
    OWN_TOPIC,
    Plan,
    TerraformCopy,
    further_model,
)

PIPELINE_ACCOUNT = "pipelines@af-finanzen.iam.gserviceaccount.com"


@pytest.fixture
def copied(tmp_path: Path) -> TerraformCopy:
    """A copy with one model."""
    return TerraformCopy(tmp_path / "repository")


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of one model."""
    return TerraformCopy(tmp_path_factory.mktemp("one_model") / "repository").plan()


@pytest.fixture(scope="session")
def optional(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of one model with what can be set besides, and without the trigger channel."""
    return TerraformCopy(tmp_path_factory.mktemp("optional") / "repository").plan(
        pipeline_root_bucket="af-pipelines",
        pipeline_service_account=PIPELINE_ACCOUNT,
        dagster_impersonators=["group:data@example.org"],
        trigger_channel=False,
        unacknowledged_age_minutes=30,
    )


@pytest.fixture(scope="session")
def three_models(tmp_path_factory: pytest.TempPathFactory) -> TerraformCopy:
    """The first model; a second that shares its queue; a third of a long name with its own."""
    copied = TerraformCopy(tmp_path_factory.mktemp("three_models") / "repository")
    for number, output, changes in (
        (2, "gs://af-monitoring/drift", {}),
        (3, "gs://af-monitoring", {"trigger_topic": OWN_TOPIC, "model_name": "m" * 128}),
    ):
        model = further_model(number, **changes)
        model["vertex"] = {**model["vertex"], "monitoring_output": output}
        copied.write_further_config(f"transak-i{number}.json", model)
    return copied


@pytest.fixture(scope="session")
def with_dagster(three_models: TerraformCopy) -> Plan:
    """The plan of the three models with Dagster as their trigger."""
    return three_models.plan()


@pytest.fixture(scope="session")
def with_functions(three_models: TerraformCopy) -> Plan:
    """The plan of the three models with Cloud Functions as their trigger."""
    return three_models.plan(trigger="cloud_function")
