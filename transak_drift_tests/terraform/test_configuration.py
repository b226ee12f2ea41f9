"""The text of the Terraform configuration, and the published schemas that it is planned with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from transak_drift.cli.config import terraform_variables
from transak_drift_tests.config.configurations import CONFIG_FILE
from transak_drift_tests.terraform.terraform_command import (
    SCHEMA,
    TERRAFORM,
    TERRAFORM_DIRECTORY,
    needs_terraform,
)

FILES = {path.name: path.read_text(encoding="utf-8") for path in TERRAFORM_DIRECTORY.glob("*.tf")}
TEXT = "\n".join(FILES.values())
README = (TERRAFORM_DIRECTORY / "README.md").read_text(encoding="utf-8")


def declared(kind: str) -> dict[str, str]:
    """Return the text of each variable or output by its name."""
    blocks = re.findall(rf'^{kind} "(\w+)" \{{\n(.*?)^\}}$', TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    return dict(blocks)


def test_every_type_in_use_has_a_schema_and_no_other() -> None:
    used = set(re.findall(r'^(resource|data) "((?!terraform_)\w+)"', TEXT, re.MULTILINE))
    assert used == {(kind, name) for kind in ("resource", "data") for name in SCHEMA[kind]}


def test_each_provider_is_pinned_to_the_series_whose_schema_was_checked() -> None:
    required = re.findall(
        r'source += "hashicorp/(\w+)"\n +version = "~> ([\d.]+)"', FILES["versions.tf"]
    )
    assert dict(required) == {
        name: provider["version"].rpartition(".")[0]
        for name, provider in SCHEMA["providers"].items()
    }


def test_every_variable_has_limits_and_is_used_and_described() -> None:
    for name, text in declared("variable").items():
        assert "  validation {" in text, name
        others = TEXT.replace(text, "")
        assert re.search(rf"\bvar\.{name}\b", others), name
    for name in (*declared("variable"), *declared("output")):
        assert f"`{name}`" in README, name


def test_every_local_value_is_used() -> None:
    for block in re.findall(r"^locals \{\n(.*?)^\}$", TEXT, re.MULTILINE | re.DOTALL):
        for name in re.findall(r"^  (\w+) +=", block, re.MULTILINE):
            assert re.search(rf"\blocal\.{name}\b", TEXT), name


def test_the_models_variable_has_what_is_written_and_every_value_is_used(tmp_path: Path) -> None:
    (model,) = terraform_variables(CONFIG_FILE, tmp_path)["models"]
    types = declared("variable")["models"].partition("default")[0]
    assert set(re.findall(r"^    (\w+) += \w", types, re.MULTILINE)) == set(model)
    assert [key for key in model if f".{key}" not in TEXT] == []


def test_no_key_of_a_service_account_is_made() -> None:
    assert "google_service_account_key" not in TEXT


def test_the_readme_lists_the_services_that_are_enabled() -> None:
    services = set(re.findall(r'"(\w+\.googleapis\.com)"', FILES["services.tf"]))
    (section,) = re.findall(r"## Services\n(.*?)\n## ", README, re.DOTALL)
    assert set(re.findall(r"`(\w+\.googleapis\.com)`", section)) == services


@needs_terraform
def test_the_files_are_in_canonical_format() -> None:
    assert TERRAFORM is not None
    result = subprocess.run(
        [TERRAFORM, "fmt", "-check", "-diff", "-recursive", str(TERRAFORM_DIRECTORY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
