"""Runs of the real Terraform over a copy of the configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from transak_drift.cli.config_command import terraform as write_variables
from transak_drift_tests.terraform.extract_provider_schema import SCHEMA_FILE
from transak_drift_tests.terraform.hcl_files import REPOSITORY, TERRAFORM_DIRECTORY
from transak_drift_tests.terraform.schema_provider import reattachable_providers

TERRAFORM = shutil.which("terraform")
needs_terraform = pytest.mark.skipif(
    TERRAFORM is None, reason="terraform is not installed, so nothing was planned with it"
)
"""Marks a test that runs the terraform command."""

CONFIG = json.loads((REPOSITORY / "monitoring_config.json").read_text(encoding="utf-8"))
DEPLOYABLE_CONFIG = {**CONFIG, "vertex": {"pipeline_template": "gs://bucket/pipeline-train.yaml"}}
"""The repository's configuration with what a deployed Cloud Function needs besides."""
VARIABLES_FILE = "models.auto.tfvars.json"
_SECONDS = 120


class TerraformCopy:
    """A copy of the configuration, and what it reads, in a directory of its own.

    Args:
        directory: an empty directory.
        config: the monitoring configuration in place of the repository's.
    """

    def __init__(self, directory: Path, config: Mapping[str, Any] = CONFIG) -> None:
        self.repository = directory
        self.directory = directory / "terraform"
        ignored = shutil.ignore_patterns(".terraform*", "*.tfvars.json")
        shutil.copytree(TERRAFORM_DIRECTORY, self.directory, ignore=ignored)
        shutil.copytree(
            REPOSITORY / "transak_drift",
            directory / "transak_drift",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.write_config(config)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace the copy's monitoring configuration."""
        path = self.repository / "monitoring_config.json"
        path.write_text(json.dumps(config), encoding="utf-8")

    def write_further_config(self, name: str, config: Mapping[str, Any]) -> None:
        """Write the configuration of a further model.

        Args:
            name: the file's name in `monitoring_configs`.
            config: its content.
        """
        folder = self.repository / "monitoring_configs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(config), encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run terraform in the copy, with providers that know the extracted schemas.

        Args:
            arguments: the command's arguments.

        Returns:
            The finished process, with its output as text.
        """
        assert TERRAFORM is not None
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        with reattachable_providers(schema, self.directory) as providers:
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

        Args:
            config: the configuration, or the folder of them, in the copied repository.
            variables: values of the configuration's other variables.
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

    def plan(self, config: str = "monitoring_config.json", **variables: Any) -> dict[str, Any]:
        """Plan the creation of everything; as `try_plan`, but it has to succeed.

        Returns:
            The plan as `terraform show -json` gives it.
        """
        planned = self.try_plan(config, **variables)
        assert planned.returncode == 0, planned.stderr
        shown = self.run("show", "-json", "plan")
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)


def planned_resources(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the planned values of every resource by its address."""
    return {
        resource["address"]: resource["values"]
        for resource in plan["planned_values"]["root_module"]["resources"]
        if resource["mode"] == "managed"
    }


def planned_outputs(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the outputs before anything is created."""
    return {
        name: output["after"]
        for name, output in plan["output_changes"].items()
        if "after" in output
    }
