"""The archive is complete, and a configuration that cannot work fails before any message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.deployed_archive import unpack_archive
from transak_drift_tests.cloud_function.function_server import ENTRY_POINT
from transak_drift_tests.config.configurations import REPOSITORY, document

_START = f"""
import sys
sys.path.insert(0, sys.argv[1])
import main
assert callable(main.{ENTRY_POINT})
own = {{n: m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "transak_drift"}}
strays = {{n: f for n, f in own.items() if not f.startswith(sys.argv[1])}}
assert not strays, strays
assert not {{"dagster", "kfp"}} & set(sys.modules)
print(sorted(own))
"""
_IMPORT_ALL = """
import importlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
for file in sorted(root.rglob("*.py")):
    name = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if name != "main" and not name.endswith(".main"):
        module = importlib.import_module(name)
        assert module.__file__.startswith(str(root)), module.__file__
"""


def _run(code: str, archive: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRANSAK_DRIFT_")}
    return subprocess.run(
        # Isolated: the repository itself is not importable, as in the deployed function.
        [sys.executable, "-I", "-B", "-c", code, str(archive)],
        cwd=archive,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_archive_alone_starts_the_function(deployment: Deployment) -> None:
    ended = _run(_START, deployment.archive, **deployment.environment)

    assert ended.returncode == 0, ended.stderr
    assert "transak_drift.cloud_function.drift_message_handler" in ended.stdout


def test_every_module_of_the_archive_finds_what_it_imports(deployment: Deployment) -> None:
    ended = _run(_IMPORT_ALL, deployment.archive)

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{", ["is not valid JSON"]),
        (json.dumps(document(model_name="", surplus=1)), ["model_name", "surplus"]),
        (json.dumps(document()), ["vertex.pipeline_template", "is not set"]),
        (
            json.dumps(document(vertex={"pipeline_template": "compiled/pipeline-train.yaml"})),
            ["vertex.pipeline_template", "is not packed into the function"],
        ),
    ],
    ids=["no json", "wrong values", "no template", "a template that is not there"],
)
def test_a_configuration_that_cannot_work_ends_the_start(
    tmp_path: Path, config: str, told: list[str]
) -> None:
    unpack_archive(tmp_path, config)

    ended = _run(_START, tmp_path, TRANSAK_DRIFT_CONFIG="monitoring_config.json")

    assert ended.returncode != 0
    entry: dict[str, Any] = json.loads(ended.stdout.splitlines()[0])
    assert entry["severity"] == "CRITICAL"
    for text in told:
        assert text in entry["message"]


def test_models_of_another_topic_end_the_start(tmp_path: Path, deployment: Deployment) -> None:
    other = deployment.second_config.model_dump(mode="json", exclude_defaults=True)
    names = ("trigger_subscription", "dead_letter_topic", "dead_letter_subscription")
    own_queue = {key: value for key, value in other.items() if key not in names}
    own_queue["trigger_topic"] = "ps-transak-i2-train-trigger"
    first = deployment.config.model_dump_json(exclude_defaults=True)
    unpack_archive(tmp_path, first, {"transak-i2.json": json.dumps(own_queue)})

    ended = _run(_START, tmp_path, **deployment.environment)

    assert ended.returncode != 0
    message = json.loads(ended.stdout.splitlines()[0])["message"]
    assert "monitoring_configs/transak-i2.json" in message
    assert 'trigger_subscription = "ps-transak-i2-train-trigger-subscription"' in message


def test_a_further_model_without_a_template_ends_the_start(
    tmp_path: Path, deployment: Deployment
) -> None:
    lacking = document(model_name="m2", monitoring_job_display_name="second monitor")
    first = deployment.config.model_dump_json(exclude_defaults=True)
    unpack_archive(tmp_path, first, {"second.json": json.dumps(lacking)})

    ended = _run(_START, tmp_path, **deployment.environment)

    assert ended.returncode != 0
    message = json.loads(ended.stdout.splitlines()[0])["message"]
    assert "monitoring_configs/second.json" in message
    assert "vertex.pipeline_template" in message


def test_a_function_of_further_models_alone_starts(tmp_path: Path, deployment: Deployment) -> None:
    second = deployment.second_config.model_dump_json(exclude_defaults=True)
    unpack_archive(tmp_path, None, {"transak-i2.json": second})

    ended = _run(
        _START,
        tmp_path,
        **{**deployment.environment, "TRANSAK_DRIFT_CONFIG": "monitoring_configs"},
    )

    assert ended.returncode == 0, ended.stderr


def test_what_only_the_sensor_honours_is_said_at_the_start(
    tmp_path: Path, deployment: Deployment
) -> None:
    config = deployment.config.model_copy(
        update={
            "retrain_policy": deployment.config.retrain_policy.model_copy(
                update={"cooldown_minutes": 60}
            )
        }
    )
    unpack_archive(tmp_path, config.model_dump_json(exclude_defaults=True))

    ended = _run(_START, tmp_path, **deployment.environment)

    assert ended.returncode == 0, ended.stderr
    entry = json.loads(ended.stdout.splitlines()[0])
    assert entry["severity"] == "WARNING"
    assert entry["cooldown_minutes"] == 60


def test_terraform_names_the_entry_point() -> None:
    text = (REPOSITORY / "terraform" / "cloud_function.tf").read_text(encoding="utf-8")
    assert f'entry_point = "{ENTRY_POINT}"' in text
