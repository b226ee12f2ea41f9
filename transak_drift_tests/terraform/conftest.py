"""Copies of the configuration, and plans that several tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transak_drift_tests.terraform.terraform_command import (
    DEPLOYABLE_CONFIG,
    OWN_TOPIC,
    TerraformCopy,
    further_model,
)


@pytest.fixture
def copied(tmp_path: Path) -> TerraformCopy:
    """A copy with the repository's configuration."""
    return TerraformCopy(tmp_path / "repository")


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of the repository's configuration."""
    return TerraformCopy(tmp_path_factory.mktemp("one_model") / "repository").plan()


@pytest.fixture(scope="session")
def three_models(tmp_path_factory: pytest.TempPathFactory) -> TerraformCopy:
    """The first model; a second that shares its queue; a third with a queue of its own."""
    directory = tmp_path_factory.mktemp("three_models") / "repository"
    copied = TerraformCopy(directory, DEPLOYABLE_CONFIG)
    copied.write_further_config("transak-i2.json", further_model(2))
    copied.write_further_config("transak-i3.json", further_model(3, trigger_topic=OWN_TOPIC))
    return copied


@pytest.fixture(scope="session")
def with_dagster(three_models: TerraformCopy) -> dict[str, Any]:
    """The plan of the three models with Dagster as their trigger."""
    return three_models.plan()


@pytest.fixture(scope="session")
def with_functions(three_models: TerraformCopy) -> dict[str, Any]:
    """The plan of the three models with Cloud Functions as their trigger."""
    return three_models.plan(trigger="cloud_function")
