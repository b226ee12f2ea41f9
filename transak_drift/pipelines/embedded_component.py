"""A Python component that takes along the part of this package which it imports.

A lightweight KFP component is one function. What it imports from this package is embedded in the
component itself, so that the pipeline runs the same code as Dagster and the Cloud Function, and
no image has to be built.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

import transak_drift

# Linux takes no longer argument (MAX_ARG_STRLEN, execve(2)), and a component's source is one.
MAX_SOURCE_BYTES = 128 * 1024 - 1

# Docker takes the digest; the tag before it is for people.
_PYTHON_IMAGE = (
    "python:3.12.12-slim-bookworm"
    "@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c"
)


def component_with_source(
    function: FunctionType, module: str, packages: Sequence[str]
) -> BaseComponent:
    """Make a function a component on the pinned Python image.

    Within itself it imports a module of this package, and what that needs installed: packages of
    the versions that are installed here, which are those the tests ran with. A ValueError tells
    that its source exceeds what a container's argument may have.
    """
    with TemporaryDirectory() as directory:
        copy_with_imports(module, Path(directory))
        component = dsl.component(
            function,
            base_image=_PYTHON_IMAGE,
            packages_to_install=[f"{package}=={version(package)}" for package in packages],
            embedded_artifact_path=directory,
        )
    container = component.component_spec.implementation.container
    longest = max(len(str(part).encode()) for part in (*container.command, *container.args))
    if longest > MAX_SOURCE_BYTES:
        raise ValueError(
            f"{function.__name__}: its source has {longest} bytes, at most {MAX_SOURCE_BYTES} are "
            "possible; fix: import fewer modules, or build an image that holds the package"
        )
    return component


def copy_with_imports(module: str, destination: Path) -> list[str]:
    """Copy a module of this package with everything it imports from it; return their names."""
    root = Path(transak_drift.__file__).parents[1]
    finder = _OwnModules([str(root)])
    finder.import_hook(module)
    modules: dict[str, Any] = finder.modules
    for found in modules.values():
        source = Path(found.__file__)
        target = destination / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return sorted(modules)


class _OwnModules(ModuleFinder):
    """Finds imports, those within functions too, and follows those of this package alone."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        if path is None and name != transak_drift.__name__:
            raise ImportError(name)
        return super().find_module(name, path, parent)
