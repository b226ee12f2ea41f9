"""The archive is complete, and a configuration that cannot work fails before any message."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from transak_drift.cloud_function.cold_start import build_handler
from transak_drift.cloud_function.drift_message_handler import write_entry
from transak_drift.config.errors import ConfigError
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.deployed_archive import (
    CONFIG,
    FURTHER_CONFIG,
    unpack_archive,
)
from transak_drift_tests.cloud_function.imported_packages import check_imports
from transak_drift_tests.config.configurations import document


def test_the_archive_holds_what_it_imports_and_installs_the_rest(tmp_path: Path) -> None:
    unpack_archive(tmp_path, {})
    lines = (tmp_path / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]

    imports = check_imports(tmp_path, [requirement.name for requirement in pinned])

    assert {"pydantic", "google", "yaml", "functions_framework"} <= imports
    assert not {"dagster", "kfp"} & imports
    # The function is built with the versions that the tests run with.
    for requirement in pinned:
        assert str(requirement.specifier) == f"=={version(requirement.name)}", requirement.name


@pytest.fixture
def archive(tmp_path: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive without configurations, in which the function starts."""
    monkeypatch.chdir(tmp_path)
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def first_entry(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[0])


# Changes of the second model's configuration; None takes a key out.
WITHOUT_A_TEMPLATE = {"vertex": None}
OTHER_TOPIC = {
    "trigger_topic": "ps-transak-i2-train-trigger",
    **dict.fromkeys(("trigger_subscription", "dead_letter_topic", "dead_letter_subscription")),
}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("{", {}, ["is not valid JSON"]),
        (json.dumps(document(model_name="", surplus=1)), {}, ["model_name", "surplus"]),
        (json.dumps(document()), {}, ["vertex.pipeline_template", "is not set"]),
        (
            json.dumps(document(vertex={"pipeline_template": "compiled/pipeline-train.yaml"})),
            {},
            ["vertex.pipeline_template", "is not packed into the function"],
        ),
        (None, WITHOUT_A_TEMPLATE, [FURTHER_CONFIG, "vertex.pipeline_template"]),
        (
            None,
            OTHER_TOPIC,
            [FURTHER_CONFIG, 'trigger_subscription = "ps-transak-i2-train-trigger-subscription"'],
        ),
    ],
    ids=["no json", "wrong", "no template", "not packed", "second without", "another topic"],
)
def test_a_configuration_that_cannot_work_ends_the_start(
    archive: Path,
    deployment: Deployment,
    capsys: pytest.CaptureFixture[str],
    first: str | None,
    second: dict[str, Any],
    told: list[str],
) -> None:
    changed = {**deployment.second_config.model_dump(mode="json", exclude_defaults=True), **second}
    kept = {key: value for key, value in changed.items() if value is not None}
    configs = {CONFIG: first or deployment.config.model_dump_json(exclude_defaults=True)}
    if second:
        configs[FURTHER_CONFIG] = json.dumps(kept)
    unpack_archive(archive, configs)

    with pytest.raises(ConfigError):
        build_handler()

    entry = first_entry(capsys)
    assert entry["severity"] == "CRITICAL"
    assert all(text in entry["message"] for text in told)


def test_a_function_of_further_models_alone_starts(
    archive: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = deployment.second_config.model_dump_json(exclude_defaults=True)
    unpack_archive(archive, {FURTHER_CONFIG: second})
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", "monitoring_configs")
    handler = build_handler()
    assert [config for config, _ in handler.models] == [deployment.second_config]
    handler.queue.close()


def test_what_only_the_sensor_honours_is_said_at_the_start(
    archive: Path, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment.config.model_dump(mode="json", exclude_defaults=True)
    policy = {"retrain_policy": {"cooldown_minutes": 60}}
    unpack_archive(archive, {CONFIG: json.dumps({**config, **policy})})
    build_handler().queue.close()
    entry = first_entry(capsys)
    assert (entry["severity"], entry["cooldown_minutes"]) == ("WARNING", 60)


def test_a_log_entry_is_one_line_whatever_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("two\nlines")

    write_entry("ERROR", 'two\nlines "\u2028é"', error=error, reason="a\nb", nothing=None)

    [line] = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert entry.pop("message").startswith('two\nlines "\u2028é"\nValueError: two')
    assert entry == {"severity": "ERROR", "reason": "a\nb"}
