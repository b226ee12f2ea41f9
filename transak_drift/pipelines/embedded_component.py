"""A Python component that takes along the part of this package which it imports.

A lightweight KFP component is one function. What it imports from this package is embedded in the
component itself, so that the pipeline runs the same code as Dagster and the Cloud Function, and
no image has to be built.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

# Linux takes no longer argument (MAX_ARG_STRLEN, execve(2)), and a component's source is one.
MAX_SOURCE_BYTES = 128 * 1024 - 1

_PACKAGE = "transak_drift"
# Docker takes the digest; the tag before it is for people.
_PYTHON_IMAGE = (
    "python:3.12.12-slim-bookworm"
    "@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c"
)


class ComponentTooLargeError(ValueError):
    """A component that no container could be started with; the message says by how much."""


def pinned(*packages: str) -> list[str]:
    """Pin packages to the versions that are installed here, which are those the tests ran with."""
    return [f"{package}=={version(package)}" for package in packages]


def component_with_source(
    function: FunctionType, modules: Sequence[str], packages: Sequence[str]
) -> BaseComponent:
    """Make a function a component on the pinned Python image.

    Args:
        function: the component; it imports whatever it needs within itself.
        modules: the modules of this package that it imports.
        packages: pinned requirements of them.

    Raises:
        ComponentTooLargeError: its source with the embedded modules exceeds what a container's
            argument may have.
    """
    with TemporaryDirectory() as directory:
        copy_with_imports(modules, Path(directory))
        component = dsl.component(
            function,
            base_image=_PYTHON_IMAGE,
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


def copy_with_imports(modules: Sequence[str], destination: Path) -> tuple[str, ...]:
    """Copy modules of this package with everything they import from it below a directory.

    Imports within functions count, those for type checkers alone do not.

    Returns:
        Dotted names of the copied modules and packages, sorted.

    Raises:
        ModuleNotFoundError: a module does not exist.
    """
    sources: dict[str, Path] = {}
    open_modules = list(modules)
    while open_modules:
        name = open_modules.pop()
        if name in sources:
            continue
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{name} is no module of {_PACKAGE}", name=name)
        sources[name] = Path(spec.origin)
        parent = name.rpartition(".")[0]
        open_modules += [parent] if parent else []
        open_modules += _imports_of(sources[name])
    root = sources[_PACKAGE].parent.parent
    for source in sources.values():
        target = destination / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return tuple(sorted(sources))


def _imports_of(source: Path) -> Iterator[str]:
    for node in _runtime_nodes(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_own(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_own(node.module):
            yield node.module
            # `from package import module` names a module where others name a class.
            members = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in members if _is_module(name))


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _runtime_nodes(node)


def _is_own(name: str) -> bool:
    return name.partition(".")[0] == _PACKAGE


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        # The parent is a module, so the name is one of its members.
        return False
