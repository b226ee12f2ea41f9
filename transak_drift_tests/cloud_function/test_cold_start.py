"""The archive is complete, and a configuration that cannot work fails before any message."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transak_drift.cloud_function.cold_start import build_handler
from transak_drift.cloud_function.structured_log import StructuredFormatter, structured_logger
from transak_drift.config.errors import ConfigError
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.deployed_archive import unpack_archive
from transak_drift_tests.cloud_function.function_server import ENTRY_POINT
from transak_drift_tests.config.configurations import REPOSITORY, document

_START = f"""
import importlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
import main
assert callable(main.{ENTRY_POINT})
for file in root.rglob("*.py"):
    name = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if not name.endswith(".main"):
        importlib.import_module(name)
own = {{n: m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "transak_drift"}}
strays = {{n: f for n, f in own.items() if not f.startswith(sys.argv[1])}}
assert not strays, strays
assert not {{"dagster", "kfp"}} & set(sys.modules)
"""


def test_the_archive_alone_starts_the_function_and_each_module_finds_what_it_imports(
    deployment: Deployment,
) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRANSAK_DRIFT_")}
    ended = subprocess.run(
        # Isolated: the repository itself is not importable, as in the deployed function.
        [sys.executable, "-I", "-B", "-c", _START, str(deployment.archive)],
        cwd=deployment.archive,
        env={**inherited, **deployment.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def archive(tmp_path: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive without configurations, in which the function starts."""
    monkeypatch.chdir(tmp_path)
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the function logs."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(StructuredFormatter())
    structured_logger().addHandler(handler)
    yield stream
    structured_logger().removeHandler(handler)


def first_entry(log: io.StringIO) -> dict[str, Any]:
    return json.loads(log.getvalue().splitlines()[0])


def critical_message(log: io.StringIO) -> str:
    """Start the function, which fails; return what it logs."""
    with pytest.raises(ConfigError):
        build_handler()
    entry = first_entry(log)
    assert entry["severity"] == "CRITICAL"
    return entry["message"]


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
    archive: Path, log: io.StringIO, config: str, told: list[str]
) -> None:
    unpack_archive(archive, config)
    message = critical_message(log)
    assert all(text in message for text in told)


def test_models_of_another_topic_end_the_start(
    archive: Path, deployment: Deployment, log: io.StringIO
) -> None:
    other = deployment.second_config.model_dump(mode="json", exclude_defaults=True)
    names = ("trigger_subscription", "dead_letter_topic", "dead_letter_subscription")
    own_queue = {key: value for key, value in other.items() if key not in names}
    own_queue["trigger_topic"] = "ps-transak-i2-train-trigger"
    first = deployment.config.model_dump_json(exclude_defaults=True)
    unpack_archive(archive, first, {"transak-i2.json": json.dumps(own_queue)})
    message = critical_message(log)
    assert "monitoring_configs/transak-i2.json" in message
    assert 'trigger_subscription = "ps-transak-i2-train-trigger-subscription"' in message


def test_a_further_model_without_a_template_ends_the_start(
    archive: Path, deployment: Deployment, log: io.StringIO
) -> None:
    lacking = document(model_name="m2", monitoring_job_display_name="second monitor")
    first = deployment.config.model_dump_json(exclude_defaults=True)
    unpack_archive(archive, first, {"second.json": json.dumps(lacking)})
    message = critical_message(log)
    assert "monitoring_configs/second.json" in message
    assert "vertex.pipeline_template" in message


def test_a_function_of_further_models_alone_starts(
    archive: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = deployment.second_config.model_dump_json(exclude_defaults=True)
    unpack_archive(archive, None, {"transak-i2.json": second})
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", "monitoring_configs")
    handler = build_handler()
    assert [model.config for model in handler.models] == [deployment.second_config]
    handler.queue.close()


def test_what_only_the_sensor_honours_is_said_at_the_start(
    archive: Path, deployment: Deployment, log: io.StringIO
) -> None:
    config = deployment.config.model_dump(mode="json", exclude_defaults=True)
    unpack_archive(archive, json.dumps({**config, "retrain_policy": {"cooldown_minutes": 60}}))
    build_handler().queue.close()
    entry = first_entry(log)
    assert (entry["severity"], entry["cooldown_minutes"]) == ("WARNING", 60)


def test_terraform_names_the_entry_point() -> None:
    text = (REPOSITORY / "terraform" / "cloud_function.tf").read_text(encoding="utf-8")
    assert f'entry_point = "{ENTRY_POINT}"' in text
