"""Whether a directory of copied modules is complete, and which packages it needs, from its text."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def check_imports(directory: Path, requirements: Iterable[str]) -> set[str]:
    """Check that what the modules import, within functions too, is beside them or installed.

    Returned are the top-level names from elsewhere, such as `pydantic`.
    """
    modules: set[str] = set()
    for file in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file} has a relative import"
                modules.add(node.module or "")
    own = {name for name in modules if name.partition(".")[0] == "transak_drift"}
    for name in own:
        path = directory.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), f"{name} is not copied"
    others = {name.partition(".")[0] for name in modules - own} - set(sys.stdlib_module_names)
    installed, providers = _with_dependencies(requirements), packages_distributions()
    for name in others:
        distributions = {canonicalize_name(provider) for provider in providers[name]}
        assert distributions & installed, f"{name} is imported and not installed"
    return others


def _with_dependencies(packages: Iterable[str]) -> set[str]:
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
