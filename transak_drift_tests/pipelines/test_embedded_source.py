"""The part of the package that a component takes along is complete, and no more than that."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from transak_drift.pipelines.embedded_component import copy_with_imports
from transak_drift_tests.config.configurations import REPOSITORY
from transak_drift_tests.pipelines.imported_packages import third_party_imports, with_dependencies

_IMPORT_EVERYTHING = """
import importlib, sys
root, *modules = sys.argv[1:]
sys.path.insert(0, root)
for name in modules:
    importlib.import_module(name)
own = {n: m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "transak_drift"}
strays = {n: f for n, f in own.items() if not f.startswith(root)}
assert not strays, strays
"""


@pytest.mark.parametrize(
    ("step", "component"),
    [("training_step", "train_classifier"), ("monitoring_step", "run_monitoring")],
)
def test_a_step_takes_along_what_it_imports_and_installs_the_rest(
    tmp_path: Path, step: str, component: str
) -> None:
    copied = copy_with_imports([f"transak_drift.pipelines.{step}"], tmp_path)

    ended = subprocess.run(
        [sys.executable, "-I", "-B", "-c", _IMPORT_EVERYTHING, str(tmp_path), *copied],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert f"transak_drift.pipelines.{step}" in copied
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert len(files) == len(copied)
    imports = third_party_imports(tmp_path)
    assert not {"dagster", "kfp", "typer"} & set(imports)
    installed = with_dependencies(_pins_of(component))
    for module, distributions in imports.items():
        assert distributions & installed, f"{module} is imported and not installed"


def test_what_only_type_checkers_import_stays_behind(tmp_path: Path) -> None:
    copied = copy_with_imports(["transak_drift.defs.trigger_queue_resource"], tmp_path)

    # It imports the queue for type checkers and, within a method, also for real.
    assert "transak_drift.pubsub.trigger_queue" in copied
    local = copy_with_imports(["transak_drift.defs.platform_resource"], tmp_path / "second")
    assert "transak_drift.local.platform" not in local


def test_a_module_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"transak_drift\.config\.nothing"):
        copy_with_imports(["transak_drift.config.nothing"], tmp_path)


def _pins_of(component: str) -> set[str]:
    source = REPOSITORY / "transak_drift" / "pipelines" / "components" / f"{component}.py"
    (call,) = (
        node
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pinned"
    )
    return {ast.literal_eval(argument) for argument in call.args}
