"""Which installed packages a directory of modules needs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@cache
def _installed_packages() -> Mapping[str, list[str]]:
    return packages_distributions()


def third_party_imports(directory: Path) -> dict[str, set[str]]:
    """Find what a directory's modules import from elsewhere, within functions too.

    Each top-level name, such as `pydantic`, has the distributions that may have installed it.
    """
    names: set[str] = set()
    for file in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.partition(".")[0])
    installed = _installed_packages()
    return {
        name: {canonicalize_name(distribution) for distribution in installed[name]}
        for name in names - set(sys.stdlib_module_names) - {"transak_drift"}
    }


def with_dependencies(packages: Iterable[str]) -> set[str]:
    """Return distributions and all that is installed with them."""
    known: set[str] = set()
    open_names = [canonicalize_name(name) for name in packages]
    while open_names:
        name = open_names.pop()
        if name in known:
            continue
        known.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                open_names.append(canonicalize_name(requirement.name))
    return known
