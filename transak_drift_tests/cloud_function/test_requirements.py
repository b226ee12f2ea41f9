"""The function is built with the versions that the tests run with, and with all it imports."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

from transak_drift_tests.cloud_function.deployed_archive import unpack_archive
from transak_drift_tests.config.configurations import REPOSITORY
from transak_drift_tests.pipelines.imported_packages import third_party_imports, with_dependencies

REQUIREMENTS = REPOSITORY / "transak_drift" / "cloud_function" / "requirements.txt"


def _requirements() -> list[Requirement]:
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [item for item in requirements if item.marker is None or item.marker.evaluate()]


def test_every_requirement_is_pinned_to_the_version_that_is_tested() -> None:
    requirements = _requirements()

    assert requirements
    for requirement in requirements:
        assert str(requirement.specifier) == f"=={version(requirement.name)}", requirement.name


def test_every_imported_package_is_installed_by_the_requirements(tmp_path: Path) -> None:
    unpack_archive(tmp_path, "{}")
    installed = with_dependencies(requirement.name for requirement in _requirements())

    imports = third_party_imports(tmp_path)
    assert {"pydantic", "google", "yaml", "functions_framework"} <= set(imports)
    for module, distributions in imports.items():
        assert distributions & installed, f"{module} is imported and not installed"
