"""Runs of the real Terraform over a copy of the configuration."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from transak_drift.cli.config import terraform as write_variables
from transak_drift_tests.config.configurations import REPOSITORY, document
from transak_drift_tests.terraform.schema_provider import reattachable_providers

TERRAFORM_DIRECTORY = REPOSITORY / "terraform"
SCHEMA_FILE = Path(__file__).with_name("provider_schema.json")
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
TERRAFORM = shutil.which("terraform")
needs_terraform = pytest.mark.skipif(
    TERRAFORM is None, reason="terraform is not installed, so nothing was planned with it"
)

DEPLOYABLE_CONFIG = document(vertex={"pipeline_template": "gs://bucket/pipeline-train.yaml"})
"""The repository's configuration with what a deployed Cloud Function needs besides."""
VARIABLES_FILE = "models.auto.tfvars.json"
TOPIC = "ps-transak-i1-train-trigger"
OWN_TOPIC = "ps-transak-i3-train-trigger"
_SECONDS = 120


def further_model(number: int, **changes: Any) -> dict[str, Any]:
    """Return the configuration of a further model, which shares the first one's queue."""
    return {
        **DEPLOYABLE_CONFIG,
        "model_name": f"transak-i{number}-train-model",
        "monitoring_job_display_name": f"transak_i{number}_data_drift_monitor",
        "notification_channels": [f"projects/af-finanzen/notificationChannels/{number}"],
        **changes,
    }


class TerraformCopy:
    """A copy of the configuration with one model, and what it reads, in its own directory."""

    def __init__(self, directory: Path) -> None:
        self.repository = directory
        self.directory = directory / "terraform"
        self.config_file = directory / "monitoring_config.json"
        ignored = shutil.ignore_patterns(".terraform*", "*.tfvars.json", "__pycache__")
        for folder in (TERRAFORM_DIRECTORY, REPOSITORY / "transak_drift"):
            shutil.copytree(folder, directory / folder.name, ignore=ignored)
        self.write_config(DEPLOYABLE_CONFIG)

    def write_config(self, config: Mapping[str, Any]) -> None:
        self.config_file.write_text(json.dumps(config), encoding="utf-8")

    def write_further_config(self, name: str, config: Mapping[str, Any]) -> None:
        folder = self.repository / "monitoring_configs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(config), encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run terraform in the copy, with providers that know the extracted schemas."""
        assert TERRAFORM is not None
        with reattachable_providers(SCHEMA, self.directory) as providers:
            return subprocess.run(
                [TERRAFORM, *arguments],
                cwd=self.directory,
                env={
                    **os.environ,
                    "TF_REATTACH_PROVIDERS": providers,
                    "TF_IN_AUTOMATION": "1",
                    "CHECKPOINT_DISABLE": "1",
                },
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )

    def try_plan(
        self, config: str = "monitoring_config.json", **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        """Write the models' values as a user does, plan, and return the process however it ended.

        `config` is the configuration, or the folder of them, in the copied repository.
        """
        write_variables(self.repository / config, self.directory / VARIABLES_FILE)
        return self.plan_as_written(**variables)

    def plan_as_written(self, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Plan with the models' values that were written before, and return the process."""
        values = [
            f"-var={name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in variables.items()
        ]
        return self.run("plan", "-input=false", "-no-color", "-out=plan", *values)

    def refusal(self, **variables: Any) -> str:
        return message(self.try_plan(**variables))

    def plan(self, config: str = "monitoring_config.json", **variables: Any) -> Plan:
        """Plan the creation of everything."""
        planned = self.try_plan(config, **variables)
        assert planned.returncode == 0, planned.stderr
        shown = self.run("show", "-json", "plan")
        assert shown.returncode == 0, shown.stderr
        return Plan(self, json.loads(shown.stdout))


def message(refused: subprocess.CompletedProcess[str]) -> str:
    """Return what a refused plan says, on one line and without its frame."""
    assert refused.returncode == 1
    return " ".join(refused.stderr.replace("\u2502", "").split())


class Plan:
    """A plan, as Terraform shows it in JSON.

    Attributes:
        copied: what it is the plan of.
        resources: the planned values of every resource by its address.
        outputs: what is known of the outputs before anything is created.
    """

    def __init__(self, copied: TerraformCopy, document: Mapping[str, Any]) -> None:
        self.copied = copied
        self.document = document
        self.resources: dict[str, dict[str, Any]] = {
            resource["address"]: resource["values"]
            for resource in document["planned_values"]["root_module"]["resources"]
            if resource["mode"] == "managed"
        }
        self.outputs = {
            name: output["after"]
            for name, output in document["output_changes"].items()
            if "after" in output
        }

    def of_type(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Return the planned values of the resources of a type, by the rest of their address."""
        prefix = f"{type_name}."
        return {
            address.removeprefix(prefix): values
            for address, values in self.resources.items()
            if address.startswith(prefix)
        }

    def keys(self, address: str) -> set[str]:
        """Return the keys of a resource that is planned for each of them."""
        pattern = re.compile(re.escape(address) + r'\["(.+)"\]')
        return {found[1] for name in self.resources if (found := pattern.fullmatch(name))}

    def declared(self, ending: str) -> dict[str, dict[str, Any]]:
        """Return the expressions of the resources whose type ends so, by address."""
        return {
            resource["address"]: resource["expressions"]
            for resource in self.document["configuration"]["root_module"]["resources"]
            if resource["type"].endswith(ending)
        }
