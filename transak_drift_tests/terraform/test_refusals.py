"""What the real Terraform refuses before it creates anything."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.errors import ConfigError
from transak_drift_tests.terraform.extract_provider_schema import SCHEMA_FILE
from transak_drift_tests.terraform.hcl_files import terraform_files
from transak_drift_tests.terraform.mutations import OF_AN_OBJECT, Mutation, mutations
from transak_drift_tests.terraform.schema_provider import PROJECT_NUMBER
from transak_drift_tests.terraform.terraform_command import (
    CONFIG,
    DEPLOYABLE_CONFIG,
    VARIABLES_FILE,
    TerraformCopy,
    needs_terraform,
)

pytestmark = needs_terraform

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


@pytest.fixture
def copied(tmp_path: Path) -> TerraformCopy:
    return TerraformCopy(tmp_path / "repository")


@pytest.mark.parametrize("value", ["both", "", "Dagster", "dagster,cloud_function", "none"])
def test_any_trigger_but_the_two_is_refused(copied: TerraformCopy, value: str) -> None:
    refused = copied.try_plan(trigger=value)
    assert refused.returncode == 1
    assert 'trigger must be "dagster" or "cloud_function"' in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
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
    refused = copied.try_plan(**{variable: value})
    assert refused.returncode == 1
    assert "Invalid value for variable" in refused.stderr
    assert variable in refused.stderr


@pytest.mark.parametrize("changes", [{"location": "Zürich"}, {"trigger_topic": "Googtopic"}])
def test_of_a_configuration_that_dagster_refuses_nothing_is_written(
    copied: TerraformCopy, changes: dict[str, Any]
) -> None:
    copied.write_config({**CONFIG, **changes})
    with pytest.raises(ConfigError, match=next(iter(changes))):
        copied.try_plan()
    assert not (copied.directory / VARIABLES_FILE).exists()
    refused = copied.plan_as_written()
    assert refused.returncode == 1
    assert "models is empty: run `transak-drift config terraform`" in " ".join(
        refused.stderr.replace("\u2502", "").split()
    )


def test_values_of_an_older_configuration_are_refused(copied: TerraformCopy) -> None:
    copied.plan()
    copied.write_config({**CONFIG, "trigger_topic": "zz-topic"})
    refused = copied.plan_as_written()
    assert refused.returncode == 1
    assert "../monitoring_config.json is not the configuration that was" in refused.stderr
    assert "transak-drift config terraform" in refused.stderr


def test_a_config_that_logs_no_anomalies_is_refused(copied: TerraformCopy) -> None:
    copied.write_config({**CONFIG, "log_anomalies": False})
    assert "log_anomalies" in copied.try_plan().stderr


def test_another_project_number_is_refused(copied: TerraformCopy) -> None:
    copied.write_config({**CONFIG, "project_number": "42"})
    refused = copied.try_plan()
    assert refused.returncode == 1
    assert "project_number" in refused.stderr
    copied.write_config({**CONFIG, "project_number": PROJECT_NUMBER})
    assert copied.try_plan().returncode == 0


def _is_accepted_by_terraform(mutation: Mutation) -> bool:
    # Terraform asks for neither descriptions nor types of variables, nor that a value is used.
    return mutation.what in ("description missing", "type or value missing")


def _needs_a_plan(mutation: Mutation) -> bool:
    # `validate` knows neither the objects of local values nor what stands behind an index.
    return mutation.what.startswith(OF_AN_OBJECT) or (
        "[" in mutation.what and not mutation.what.endswith("without its index")
    )


def _sampled(every: int, *, needs_a_plan: bool) -> list[Mutation]:
    made = [
        mutation
        for file, text in terraform_files().items()
        for mutation in mutations(file, text, SCHEMA)
        if not _is_accepted_by_terraform(mutation) and _needs_a_plan(mutation) == needs_a_plan
    ]
    return made[::every]


@contextmanager
def _put_into(copied: TerraformCopy, mutation: Mutation) -> Generator[None]:
    path = copied.directory / mutation.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.original, mutation.mutated, 1), encoding="utf-8")
    yield
    path.write_text(text, encoding="utf-8")


def test_terraform_finds_the_mistakes_too(copied: TerraformCopy) -> None:
    """Terraform is a second judge of a sample of the mistakes of test_mutations.py."""
    sample = _sampled(40, needs_a_plan=False)
    assert {mutation.file for mutation in sample} >= {"pubsub.tf", "alerts.tf", "variables.tf"}
    accepted = []
    for mutation in sample:
        with _put_into(copied, mutation):
            if copied.run("validate", "-json").returncode == 0:
                accepted.append(str(mutation))
    assert accepted == []
    assert copied.run("validate", "-json").returncode == 0


def test_a_plan_finds_the_mistakes_within_objects_too(copied: TerraformCopy) -> None:
    copied.write_config(DEPLOYABLE_CONFIG)
    second = {"model_name": "second", "monitoring_job_display_name": "second"}
    copied.write_further_config("second.json", {**DEPLOYABLE_CONFIG, **second})
    accepted = []
    for mutation in _sampled(30, needs_a_plan=True):
        with _put_into(copied, mutation):
            if _is_planned(copied):
                accepted.append(str(mutation))
    assert accepted == []
    assert _is_planned(copied)


def _is_planned(copied: TerraformCopy) -> bool:
    # What one trigger has no use for is looked at with the other alone.
    return all(
        copied.try_plan(trigger=trigger, pipeline_root_bucket="bucket").returncode == 0
        for trigger in ("cloud_function", "dagster")
    )
