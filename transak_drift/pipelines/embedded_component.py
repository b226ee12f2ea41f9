"""A Python component that takes along the part of this package which it imports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from transak_drift.pipelines.embedded_source import copy_with_imports
from transak_drift.pipelines.pins import PYTHON_IMAGE

# Linux takes no longer argument (MAX_ARG_STRLEN, execve(2)), and a component's source is one.
MAX_SOURCE_BYTES = 128 * 1024 - 1


class ComponentTooLargeError(ValueError):
    """A component that no container could be started with; the message says by how much."""


def component_with_source(
    function: FunctionType, modules: Sequence[str], packages: Sequence[str]
) -> BaseComponent:
    """Make a function a component on the pinned Python image.

    Args:
        function: the component; it imports whatever it needs within itself.
        modules: the modules of this package that it imports.
        packages: pinned requirements of them.

    Returns:
        The component.

    Raises:
        ComponentTooLargeError: its source with the embedded modules exceeds what a container's
            argument may have.
    """
    with TemporaryDirectory() as directory:
        copy_with_imports(modules, Path(directory))
        component = dsl.component(
            function,
            base_image=PYTHON_IMAGE,
            packages_to_install=list(packages),
            embedded_artifact_path=directory,
        )
    container = component.component_spec.implementation.container
    longest = max(len(str(part).encode()) for part in (*container.command, *container.args))
    if longest > MAX_SOURCE_BYTES:
        raise ComponentTooLargeError(
            f"{function.__name__}: its source has {longest} bytes, at most {MAX_SOURCE_BYTES} are "
            "possible; fix: import fewer modules, or build an image that holds the package"
        )
    return component
