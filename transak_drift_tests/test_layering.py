"""The layers of the source tree: who may import whom, read from the source and not by importing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import transak_drift

PACKAGE = "transak_drift"
SOURCE = Path(transak_drift.__file__).parent

# A package imports only packages of a lower layer; two of one layer do not know each other.
LAYERS = {
    "cli": 11,
    "definitions": 10,
    "defs": 9,
    "notifications": 8,
    "settings": 7,
    "pipelines": 6,
    "cloud_function": 6,
    "local": 5,
    "vertex": 5,
    "pubsub": 5,
    "google_cloud": 4,
    "trigger": 3,
    "reports": 3,
    "training": 2,
    "platform": 2,
    "drift": 1,
    "config": 0,
}
PURE = ("config", "drift", "training", "trigger", "reports", "platform")

# Libraries that only some modules may import; each by the beginning of its name.
CONFINED = {
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


@dataclass(frozen=True)
class Import:
    """One import: the importing module, all that it may name, and whether it runs on loading."""

    importer: str
    line: int
    names: tuple[str, ...]
    at_load: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.names[-1]}"


@cache
def modules_of(source: Path) -> dict[str, ast.Module]:
    """Parse every module below a package's directory, by its dotted name."""
    modules = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return modules


def imports_of(name: str, tree: ast.Module) -> Iterator[Import]:
    """Find the imports of one module, those within functions and type checks included."""

    def visit(node: ast.AST, at_load: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, (alias.name,), at_load)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} does not name its package"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(name, node.lineno, (str(node.module), whole), at_load)
        in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_load and not in_function and not for_types)

    yield from visit(tree, at_load=True)


@cache
def all_imports(source: Path) -> list[Import]:
    return [found for name, tree in modules_of(source).items() for found in imports_of(name, tree)]


def is_within(name: str, beginning: str) -> bool:
    return name == beginning or name.startswith(f"{beginning}.")


def package_of(module: str) -> str:
    _, _, inner = module.partition(".")
    return inner.partition(".")[0]


def upward_imports(source: Path) -> list[str]:
    """Name the imports of a package of the same or a higher layer."""

    def is_upward(importer: str, imported: str) -> bool:
        if imported == importer or imported not in LAYERS:
            return False
        return importer not in LAYERS or LAYERS[imported] >= LAYERS[importer]

    return [
        str(item)
        for item in all_imports(source)
        if any(
            is_within(name, source.name) and is_upward(package_of(item.importer), package_of(name))
            for name in item.names
        )
    ]


def unconfined_imports(source: Path) -> list[str]:
    """Name the imports of a library by a module that may not have it."""
    return [
        str(item)
        for item in all_imports(source)
        for library, allowed in CONFINED.items()
        if any(is_within(name, library) for name in item.names)
        and not any(is_within(item.importer, f"{source.name}.{place}") for place in allowed)
    ]


def import_cycle(source: Path) -> list[str] | None:
    """Return the modules of a circle of imports that run on loading, if there is one."""
    modules = modules_of(source)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for item in all_imports(source):
        if item.at_load:
            # `from package import module` loads the module; `from module import name` does not.
            loaded = [name for name in item.names if name in modules]
            graph[item.importer] |= {*loaded[-1:]} - {item.importer}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_every_package_has_its_layer() -> None:
    packages = {package_of(name) for name in modules_of(SOURCE)} - {""}
    assert packages == set(LAYERS)


def test_packages_import_one_way() -> None:
    assert upward_imports(SOURCE) == []


def test_libraries_stay_where_they_belong() -> None:
    assert unconfined_imports(SOURCE) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert import_cycle(SOURCE) is None


def test_pure_packages_import_only_what_needs_no_platform() -> None:
    libraries = {
        name.split(".")[0]
        for item in all_imports(SOURCE)
        if package_of(item.importer) in PURE
        for name in item.names
    }
    assert {"pydantic", "json", PACKAGE} <= libraries
    others = {"dagster", "google", "duckdb", "grpc", "kfp", "vertexai", "pandas", "sklearn"}
    assert not libraries & others


def test_no_file_is_a_drawer_for_everything() -> None:
    names = {path.stem for path in SOURCE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / PACKAGE


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("config/a.py", "from transak_drift import local"),
        ("config/a.py", "import transak_drift.defs.keys"),
        ("config/a.py", "from transak_drift import settings"),
        ("config/a.py", "def f():\n    from transak_drift.vertex import b"),
        ("local/a.py", "from transak_drift.defs.b import c"),
        ("definitions.py", "import transak_drift.cli"),
        ("new_package/a.py", "import transak_drift.config.monitoring_config"),
    ],
)
def test_an_import_upwards_is_found(tmp_path: Path, module: str, text: str) -> None:
    source = write_tree(tmp_path, {"config/__init__.py": "import json", module: text})
    assert len(upward_imports(source)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("config/a.py", "import dagster as dg"),
        ("config/a.py", "from google.cloud import pubsub_v1"),
        ("config/a.py", "if TYPE_CHECKING:\n    from google.type import date_pb2"),
        ("local/a.py", "from dagster import asset"),
        ("local/a.py", "from google.pubsub_v1 import types"),
        ("local/pubsub_server/a.py", "from google.cloud.pubsub_v1 import types"),
        ("pubsub/a.py", "from google.cloud import aiplatform"),
        ("pipelines/a.py", "def f():\n    import google.cloud.aiplatform_v1beta1.types"),
        ("cloud_function/a.py", "import dagster"),
    ],
)
def test_a_library_out_of_its_place_is_found(tmp_path: Path, module: str, text: str) -> None:
    assert len(unconfined_imports(write_tree(tmp_path, {module: text}))) >= 1


def test_imports_downwards_are_no_fault(tmp_path: Path) -> None:
    source = write_tree(
        tmp_path,
        {
            "config/a.py": "import json",
            "config/b.py": "from transak_drift.config.a import x",
            "pubsub/a.py": "from google.cloud import pubsub_v1\nimport google.pubsub_v1",
            "local/pubsub_server/a.py": "from google.pubsub_v1 import types",
            "defs/a.py": "import dagster\nfrom transak_drift.defs.keys import x",
        },
    )
    assert upward_imports(source) == unconfined_imports(source) == []
    assert import_cycle(source) is None


def test_a_circle_is_found_only_where_it_runs_on_loading(tmp_path: Path) -> None:
    files = {
        "config/a.py": "from transak_drift.config import b",
        "config/b.py": "from transak_drift.config.c import x",
        "config/c.py": "import transak_drift.config.a",
    }
    cycle = import_cycle(write_tree(tmp_path, files))
    assert cycle is not None
    assert {name.split(".")[-1] for name in cycle} == {"a", "b", "c"}
    for number, beginning in enumerate(("def f()", "if TYPE_CHECKING")):
        files["config/c.py"] = f"{beginning}:\n    import transak_drift.config.a"
        assert import_cycle(write_tree(tmp_path / str(number), files)) is None
