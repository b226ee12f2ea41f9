"""The part of this package that a pipeline component takes along, so that it runs anywhere.

A lightweight KFP component is one function. What it imports from this package is embedded in the
component itself, so that the pipeline runs the same code as Dagster and the Cloud Function, and
no image has to be built.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "transak_drift"


def copy_with_imports(modules: Sequence[str], destination: Path) -> tuple[str, ...]:
    """Copy modules of this package with everything they import from it.

    Args:
        modules: dotted names, e.g. `transak_drift.pipelines.monitoring_step`.
        destination: directory that becomes importable: the package is put below it.

    Returns:
        Dotted names of the copied modules and packages, sorted. Imports within functions count,
        those for type checkers alone do not.

    Raises:
        ModuleNotFoundError: a module does not exist.
    """
    sources: dict[str, Path] = {}
    open_modules = list(modules)
    while open_modules:
        name = open_modules.pop()
        if name in sources:
            continue
        sources[name] = _source_of(name)
        parent = name.rpartition(".")[0]
        open_modules += [parent] if parent else []
        open_modules += _imports_of(sources[name])
    root = sources[PACKAGE].parent.parent
    for source in sources.values():
        target = destination / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return tuple(sorted(sources))


def _source_of(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is no module of {PACKAGE}", name=name)
    return Path(spec.origin)


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
        is_for_type_checkers = (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        )
        if not is_for_type_checkers:
            yield node
            yield from _runtime_nodes(node)


def _is_own(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        # The parent is a module, so the name is one of its members.
        return False
