"""The README's commands bring a state from before several models to today's addresses."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from transak_drift_tests.terraform.terraform_command import (
    TERRAFORM_DIRECTORY,
    Plan,
    TerraformCopy,
    needs_terraform,
)

pytestmark = needs_terraform

UNMOVED = {"terraform_data.config", "data.archive_file.cloud_function[0]"}
"""What Terraform makes anew without touching Google Cloud."""

_KEY = re.compile(r'\["[^"]+"\]$')
# What had its keys before: services by name, impersonators by principal.
_KEYED_BEFORE = ("google_project_service.", "google_service_account_iam_member.dagster_imp")
# Was one of none or one, as is the bucket's grant for Dagster still.
_COUNTED_BEFORE = re.compile(
    r"google_pubsub_subscription\.trigger|\w+\.\w+_trigger_subscriber|\w+\.unacknowledged"
    r"|\w+\.cloud_function\w*|google_cloudfunctions2_function\.trigger"
)


def _before(address: str) -> str:
    """Return the address that a planned resource had when there was one model."""
    if address.startswith(_KEYED_BEFORE):
        return address
    bare = _KEY.sub("", address)
    return f"{bare}[0]" if _COUNTED_BEFORE.fullmatch(bare) else bare


def _state(addresses: set[str]) -> dict[str, Any]:
    """Return a state, in Terraform's format 4, that holds the resources."""
    resources: dict[str, dict[str, Any]] = {}
    for address in sorted(addresses):
        bare, _, index = address.rstrip("]").partition("[")
        kind, _, name = bare.removeprefix("data.").partition(".")
        provider = "registry.terraform.io/hashicorp/google"
        if kind == "terraform_data":
            provider = "terraform.io/builtin/terraform"
        resource = {
            "mode": "data" if address.startswith("data.") else "managed",
            "type": kind,
            "name": name,
            "provider": f'provider["{provider}"]',
            "instances": [],
        }
        instance = {"schema_version": 0, "attributes": {"id": address}}
        if index:
            instance["index_key"] = json.loads(index)
        resources.setdefault(bare, resource)["instances"].append(instance)
    return {
        "version": 4,
        "terraform_version": "1.5.0",
        "serial": 1,
        "lineage": "before",
        "outputs": {},
        "resources": list(resources.values()),
    }


def test_the_commands_of_the_readme_move_every_resource(
    copied: TerraformCopy, plan: Plan, optional: Plan, with_functions: Plan
) -> None:
    readme = (TERRAFORM_DIRECTORY / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"### A state from before\n.*?```\n(.*?)```", readme, re.DOTALL)
    # All that a state of the first model may hold, whichever trigger it was made with.
    of_others = re.compile(r"terraform_data\.|.*(_output|-i[23]-)")
    planned = {
        address
        for every in (plan, optional, with_functions)
        for address in every.resources
        if not of_others.match(address)
    }
    before = {_before(address) for address in planned}
    assert len(before - planned) >= 14
    state_file = copied.directory / "terraform.tfstate"
    state_file.write_text(json.dumps(_state(before | UNMOVED)), encoding="utf-8")

    for command in (
        ["bash", "-euo", "pipefail", "-c", commands],
        ["terraform", "-chdir=terraform", "state", "list"],
    ):
        ended = subprocess.run(
            command, cwd=copied.repository, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) == planned | UNMOVED
