"""The layers of the source tree: who may import whom, read from the source and not by importing."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import transak_drift

PACKAGE = "transak_drift"
SOURCE = Path(transak_drift.__file__).parent

# A package imports only packages of a lower layer; two of one layer do not know each other.
LAYERS = {
    "cli": 12,
    "definitions": 11,
    "defs": 10,
    "notifications": 9,
    "settings": 8,
    "pipelines": 7,
    "cloud_function": 7,
    "local": 6,
    "vertex": 6,
    "pubsub": 6,
    "google_cloud": 5,
    "trigger": 4,
    "reports": 4,
    "platform": 3,
    "training": 2,
    "drift": 1,
    "config": 0,
}
PURE = {"config", "drift", "training", "trigger", "reports", "platform"}
IMPURE = tuple(LAYERS.keys() - PURE)

# Libraries that only some modules may import; each by the beginning of its name.
CONFINED = {
    **dict.fromkeys(("grpc", "pandas", "pyarrow", "sklearn"), IMPURE),
    "dagster": ("definitions", "cli", "defs"),
    "google": ("google_cloud", "local", "pubsub", "vertex", "defs", "pipelines", "cloud_function"),
    "google.cloud.pubsub": ("pubsub",),
    "google.cloud.pubsub_v1": ("pubsub",),
    # The generated types of the protocol, which the embedded server speaks.
    "google.pubsub": ("pubsub", "local.pubsub_server"),
    "google.pubsub_v1": ("pubsub", "local.pubsub_server"),
    "google.cloud.aiplatform": ("vertex",),
    "google.cloud.aiplatform_v1": ("vertex",),
    "google.cloud.aiplatform_v1beta1": ("vertex",),
    "duckdb": ("local",),
    "kfp": ("pipelines",),
    "vertexai": ("vertex",),
}

Modules = Mapping[str, str]
"""Source text by module name below the package."""


class Import(NamedTuple):
    """One import: the importing module, all that it may name, and whether it runs on loading."""

    importer: str
    line: int
    names: tuple[str, ...]
    at_load: bool


@cache
def imports_of(importer: str, text: str) -> tuple[Import, ...]:
    """Find the imports of one module, those within functions and type checks included."""

    def visit(node: ast.AST, at_load: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, node.lineno, (alias.name,), at_load)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer}:{node.lineno} does not name its package"
            for alias in node.names:
                names = (str(node.module), f"{node.module}.{alias.name}")
                yield Import(importer, node.lineno, names, at_load)
        in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_load and not in_function and not for_types)

    return tuple(visit(ast.parse(text, importer), at_load=True))


def imports_in(modules: Modules) -> list[Import]:
    return [found for name, text in modules.items() for found in imports_of(name, text)]


def is_within(name: str, beginning: str) -> bool:
    return name == beginning or name.startswith(f"{beginning}.")


def package_of(module: str) -> str:
    return module.partition(".")[0]


def upward_imports(modules: Modules) -> list[Import]:
    """Find the imports of a package of the same or a higher layer."""

    def is_upward(importer: str, name: str) -> bool:
        _, _, inner = name.partition(f"{PACKAGE}.")
        importer, imported = package_of(importer), package_of(inner)
        if imported == importer or imported not in LAYERS:
            return False
        return importer not in LAYERS or LAYERS[imported] >= LAYERS[importer]

    return [
        item
        for item in imports_in(modules)
        if any(is_upward(item.importer, name) for name in item.names)
    ]


def unconfined_imports(modules: Modules) -> list[Import]:
    """Find the imports of a library by a module that may not have it."""
    return [
        item
        for item in imports_in(modules)
        for library, allowed in CONFINED.items()
        if any(is_within(name, library) for name in item.names)
        and not any(is_within(item.importer, place) for place in allowed)
    ]


def import_cycle(modules: Modules) -> list[str]:
    """Return the modules of a circle of imports that run on loading, if there is one."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for item in imports_in(modules):
        if item.at_load:
            # `from package import module` loads the module; `from module import name` does not.
            names = [name.removeprefix(f"{PACKAGE}.") for name in item.names]
            loaded = [name for name in names if name in modules]
            graph[item.importer] |= {*loaded[-1:]} - {item.importer}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def _modules() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path.read_text(encoding="utf-8")


MODULES = dict(_modules())
CHECKS = (upward_imports, unconfined_imports, import_cycle)


def test_every_package_has_its_layer() -> None:
    assert {package_of(name) for name in MODULES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("check", CHECKS)
def test_the_source_keeps_to_its_layers(check: Callable[[Modules], list[Any]]) -> None:
    assert check(MODULES) == []


def test_no_file_is_a_drawer_for_everything() -> None:
    names = {path.stem for path in SOURCE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize(
    ("check", "module", "text"),
    [
        (upward_imports, "config.a", "from transak_drift import local"),
        (upward_imports, "config.a", "import transak_drift.defs.keys"),
        (upward_imports, "config.a", "def f():\n    from transak_drift.vertex import b"),
        (upward_imports, "local.a", "from transak_drift.defs.b import c"),
        (upward_imports, "new_package.a", "import transak_drift.config.monitoring_config"),
        (unconfined_imports, "config.a", "import dagster as dg"),
        (unconfined_imports, "config.a", "from google.cloud import pubsub_v1"),
        (unconfined_imports, "config.a", "if TYPE_CHECKING:\n    from google.type import date_pb2"),
        (unconfined_imports, "local.a", "from google.pubsub_v1 import types"),
        (unconfined_imports, "local.pubsub_server.a", "from google.cloud.pubsub_v1 import types"),
        (import_cycle, "config.c", "import transak_drift.config.a"),
    ],
)
def test_what_breaks_a_layer_is_found(
    check: Callable[[Modules], list[Any]], module: str, text: str
) -> None:
    circle = {
        "config.a": "from transak_drift.config import b",
        "config.b": "from transak_drift.config.c import x",
    }
    assert check({**circle, module: text})


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_allowed_is_not_found(check: Callable[[Modules], list[Any]]) -> None:
    modules = {
        "config.a": "import json",
        "config.b": "from transak_drift.config.a import x",
        "config.c": "def f():\n    import transak_drift.config.d",
        "config.d": "if TYPE_CHECKING:\n    import transak_drift.config.e",
        "config.e": "import transak_drift.config.c, transak_drift.config.d",
        "pubsub.a": "from google.cloud import pubsub_v1\nimport google.pubsub_v1",
        "local.pubsub_server.a": "from google.pubsub_v1 import types",
        "defs.a": "import dagster\nfrom transak_drift.defs.keys import x",
    }
    assert check(modules) == []
