"""The Terraform configuration, held against the published schemas of its providers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

from transak_drift.cli.config_command import terraform_variables
from transak_drift_tests.config.configurations import CONFIG_FILE
from transak_drift_tests.terraform import extract_provider_schema
from transak_drift_tests.terraform.configuration_check import faults
from transak_drift_tests.terraform.extract_provider_schema import PACKAGES, SCHEMA_FILE
from transak_drift_tests.terraform.hcl_files import (
    TERRAFORM_DIRECTORY,
    parse,
    provider_types,
    terraform_files,
)

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
FILES = terraform_files()
BLOCKS = parse(FILES)


def test_the_configuration_agrees_with_the_schemas() -> None:
    assert faults(BLOCKS, SCHEMA) == []


def test_every_type_in_use_has_a_schema_and_no_other() -> None:
    extracted = {(kind, name) for kind in ("resource", "data") for name in SCHEMA[kind]}
    assert provider_types(FILES) == extracted


@pytest.mark.skipif(
    not all(extract_provider_schema.installed(provider) for provider in PACKAGES),
    reason="the providers' packages are not installed: "
    + ", ".join(f"{package}=={version}" for package, version in PACKAGES.values()),
)
def test_the_schemas_are_those_of_the_published_packages() -> None:
    extracted = extract_provider_schema.extract(provider_types(FILES))
    assert SCHEMA_FILE.read_text(encoding="utf-8") == extract_provider_schema.serialized(extracted)


def test_each_provider_is_pinned_to_the_series_whose_schema_was_checked() -> None:
    (requirements,) = (
        nested
        for block in BLOCKS
        if block.type == "terraform"
        for nested in block.body.blocks["required_providers"]
    )
    assert set(requirements.body.arguments) == set(SCHEMA["providers"])
    for name, requirement in requirements.body.arguments.items():
        major, minor, _ = SCHEMA["providers"][name]["version"].split(".")
        texts = {key.strip('"'): value.strip('"') for key, value in requirement.items()}
        assert texts == {"source": f"hashicorp/{name}", "version": f"~> {major}.{minor}"}


def test_every_variable_with_limits_validates_them() -> None:
    variables = [block for block in BLOCKS if block.type == "variable"]
    assert len(variables) > 5
    assert [str(block) for block in variables if "validation" not in block.body.blocks] == []


def test_no_right_on_the_project_is_given_with_a_predefined_role() -> None:
    """What is given on the whole project is a custom role; predefined ones go to one resource."""
    members = [
        block
        for block in BLOCKS
        if block.type == "resource" and block.labels[0].startswith("google_project_iam_")
    ]
    roles = {
        block.body.arguments["role"]
        for block in members
        if block.labels[0] != "google_project_iam_custom_role"
    }
    assert roles == {
        "${google_project_iam_custom_role.reading.id}",
        "${google_project_iam_custom_role.monitoring.id}",
        "${google_project_iam_custom_role.retraining.id}",
    }
    for block in BLOCKS:
        if block.labels[:1] == ("google_project_iam_custom_role",):
            permissions = [text.strip('"') for text in block.body.arguments["permissions"]]
            assert permissions == sorted(set(permissions))
            assert all(re.fullmatch(r"aiplatform\.\w+\.\w+", name) for name in permissions)
            assert not any(name.endswith((".delete", ".setIamPolicy")) for name in permissions)


def test_the_models_variable_has_what_is_written_and_every_value_is_used(tmp_path: Path) -> None:
    (declared,) = (block for block in BLOCKS if block.labels == ("models",))
    (model,) = terraform_variables(CONFIG_FILE, tmp_path)["models"]
    assert set(re.findall(r"(\w+) = ", str(declared.body.arguments["type"]))) == set(model)
    text = "".join(FILES.values())
    assert [key for key in model if f".{key}" not in text] == []


def test_no_key_of_a_service_account_is_made() -> None:
    assert not any("google_service_account_key" in block.labels for block in BLOCKS)


def test_the_readme_lists_the_services_that_are_enabled() -> None:
    services = set(re.findall(r'"(\w+\.googleapis\.com)"', FILES["services.tf"]))
    readme = (TERRAFORM_DIRECTORY / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"## Services\n(.*?)\n## ", readme, re.DOTALL)
    assert set(re.findall(r"`(\w+\.googleapis\.com)`", section)) == services


def test_the_readme_describes_every_variable_and_output() -> None:
    readme = (TERRAFORM_DIRECTORY / "README.md").read_text(encoding="utf-8")
    for block in BLOCKS:
        if block.type in ("variable", "output"):
            assert f"`{block.labels[0]}`" in readme


def test_the_files_are_in_canonical_format() -> None:
    terraform = shutil.which("terraform")
    if terraform is None:
        reason = "terraform is not installed: `terraform fmt -check` was NOT run"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    result = subprocess.run(
        [terraform, "fmt", "-check", "-diff", "-recursive", str(TERRAFORM_DIRECTORY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
