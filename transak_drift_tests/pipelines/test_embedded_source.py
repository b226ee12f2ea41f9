"""The part of the package that a component takes along is complete, and no more than that."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from transak_drift.pipelines.embedded_component import copy_with_imports
from transak_drift_tests.pipelines.imported_packages import third_party_imports, with_dependencies

TRAINING_STEP = "transak_drift.pipelines.training_step"
MONITORING_STEP = "transak_drift.pipelines.monitoring_step"

_IMPORT_EVERYTHING = """
import importlib, sys
root, *modules = sys.argv[1:]
sys.path.insert(0, root)
for name in modules:
    module = importlib.import_module(name)
    assert module.__file__.startswith(root), f"{name} came from {module.__file__}"
own = {n: m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "transak_drift"}
strays = {n: f for n, f in own.items() if not f.startswith(root)}
assert not strays, strays
"""


@pytest.mark.parametrize("step", [TRAINING_STEP, MONITORING_STEP])
def test_the_copied_modules_import_each_other_and_nothing_left_behind(
    tmp_path: Path, step: str
) -> None:
    copied = copy_with_imports([step], tmp_path)

    ended = subprocess.run(
        [sys.executable, "-I", "-B", "-c", _IMPORT_EVERYTHING, str(tmp_path), *copied],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert step in copied
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert len(files) == len(copied)


@pytest.mark.parametrize("step", [TRAINING_STEP, MONITORING_STEP])
def test_a_step_takes_neither_dagster_nor_the_pipelines_along(tmp_path: Path, step: str) -> None:
    copy_with_imports([step], tmp_path)

    assert not {"dagster", "kfp", "typer"} & set(third_party_imports(tmp_path))


@pytest.mark.parametrize(
    ("step", "component"),
    [(TRAINING_STEP, "train_classifier"), (MONITORING_STEP, "run_monitoring")],
)
def test_everything_that_is_imported_is_installed_by_the_pinned_packages(
    tmp_path: Path, step: str, component: str
) -> None:
    copy_with_imports([step], tmp_path)
    installed = with_dependencies(_pins_of(component))

    for module, distributions in third_party_imports(tmp_path).items():
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
    source = Path(sys.modules[copy_with_imports.__module__].__file__ or "").parent
    tree = ast.parse((source / "components" / f"{component}.py").read_text(encoding="utf-8"))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "pinned"
    ]
    assert len(calls) == 1
    return {ast.literal_eval(argument) for argument in calls[0].args}
