"""The configuration files of several models: which are read, and what they must not share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transak_drift.config.errors import ConfigError
from transak_drift.config.model_configs import config_files, load_configs
from transak_drift.settings import load_settings
from transak_drift_tests.config.configurations import document

TOPIC = "ps-transak-i1-train-trigger"
OTHER = {
    "model_name": "transak-i2-train-model",
    "monitoring_job_display_name": "transak_i2_data_drift_monitor",
}


def write(file: Path, **changes: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document(**changes)), encoding="utf-8")
    return file


def faults(path: Path) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_configs(path)
    return {fault.path: f"{fault.problem}; {fault.fix}" for fault in caught.value.faults}


def test_a_file_in_the_folder_beside_the_first_is_a_further_model(tmp_path: Path) -> None:
    first = write(tmp_path / "Transak-i2.json")
    assert [config.asset_prefix for config in load_configs(first)] == [None]

    write(tmp_path / "monitoring_configs" / "Transak-i2.json", **OTHER)
    write(
        tmp_path / "monitoring_configs" / "cards.json",
        model_name="cards",
        monitoring_job_display_name="cards",
        asset_prefix="card_payments",
    )
    configs = load_configs(first)
    assert [(config.model_name, config.asset_prefix) for config in configs] == [
        ("transak-i1-train-model", None),
        ("transak-i2-train-model", "transak_i2"),
        ("cards", "card_payments"),
    ]
    assert {config.trigger_topic for config in configs} == {"ps-transak-i1-train-trigger"}


def test_a_folder_can_be_named_in_which_every_file_is_a_model(tmp_path: Path) -> None:
    write(tmp_path / "b.json", **OTHER)
    write(tmp_path / "a.json")
    (tmp_path / "monitoring_config.schema.json").write_text("{}")
    (tmp_path / ".hidden.json").write_text("no JSON")
    (tmp_path / "README.md").write_text("not read")
    assert [config.asset_prefix for config in load_configs(tmp_path)] == ["a", "b"]

    (tmp_path / "a.json").rename(tmp_path / "monitoring_config.json")
    assert [config.asset_prefix for config in load_configs(tmp_path)] == [None, "b"]
    assert [file.name for file in config_files(tmp_path)] == ["monitoring_config.json", "b.json"]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    assert "put a .json file" in faults(tmp_path)["(folder)"]


def test_every_fault_of_every_file_is_listed(tmp_path: Path) -> None:
    first = write(tmp_path / "monitoring_config.json", location="Zurich")
    assert list(faults(first)) == ["location"]
    folder = tmp_path / "monitoring_configs"
    write(folder / "i2.json", **OTHER, log_anomalies="yes")
    (folder / "i3.json").write_text("{")
    found = faults(first)
    assert f"{first}: location" in found
    assert f"{folder / 'i2.json'}: log_anomalies" in found
    assert any(path.startswith(f"{folder / 'i3.json'}: ") for path in found)


def test_a_file_name_that_gives_no_prefix_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "monitoring_config.json")
    write(tmp_path / "monitoring_configs" / "2nd.json", **OTHER)
    assert "by default the name of a file" in faults(first)["asset_prefix"]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"asset_prefix": "i1"}, "asset_prefix"),
        ({"monitoring_job_display_name": "transak_i1_data_drift_monitor"}, "model_monitor_id"),
        ({"model_name": "transak-i1-train-model"}, "model_name"),
        (
            {"further_model_monitor_ids": ["transak-i1-data-drift-monitor"]},
            "further_model_monitor_ids[0]",
        ),
        ({"dead_letter_topic": "other-letters"}, "trigger_subscription"),
        ({"dead_letter_subscription": "other-letters"}, "trigger_subscription"),
        ({"project_id": "other-project"}, "project_id"),
        ({"trigger_subscription": "another"}, "trigger_topic"),
        ({"trigger_topic": f"{TOPIC}-dead-letter"}, "trigger_topic"),
        ({"trigger_topic": "t-2", "dead_letter_topic": TOPIC}, "dead_letter_topic"),
        (
            {"trigger_topic": "t-2", "dead_letter_subscription": f"{TOPIC}-subscription"},
            "dead_letter_subscription",
        ),
    ],
)
def test_models_that_claim_the_same_are_refused(
    tmp_path: Path, changes: dict[str, Any], setting: str
) -> None:
    write(tmp_path / "i1.json")
    write(tmp_path / "i2.json", **OTHER | changes)
    [(path, text)] = faults(tmp_path).items()
    assert path == f"i2.json: {setting}"
    assert "i1.json" in text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trigger_topic": "topic-2"},
        {"trigger_topic": "topic-2", "project_id": "other-project"},
        {"trigger_topic": "topic-2", "dead_letter_topic": f"{TOPIC}-dead-letter"},
    ],
)
def test_models_share_the_whole_queue_or_only_its_dead_letters(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write(tmp_path / "i1.json")
    write(tmp_path / "i2.json", **OTHER | changes)
    assert len(load_configs(tmp_path)) == 2


def test_the_environment_sets_the_window_of_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "first.json", time_zone="Europe/Zurich")
    write(tmp_path / "monitoring_configs" / "second.json", **OTHER, monitoring_window="week")
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", str(first))
    found = [config.windows.length for config in load_settings().load_configs()]
    assert found == ["day", "week"]

    monkeypatch.setenv("TRANSAK_DRIFT_MONITORING_WINDOW", "month")
    configs = load_settings().load_configs()
    assert {config.windows.length for config in configs} == {"month"}
    # With what follows from it.
    assert {config.maximum_training_days for config in configs} == {184}

    monkeypatch.setenv("TRANSAK_DRIFT_MONITORING_WINDOW", "year")
    with pytest.raises(ConfigError, match="TRANSAK_DRIFT_MONITORING_WINDOW"):
        load_settings()
    monkeypatch.setenv("TRANSAK_DRIFT_MONITORING_WINDOW", "week")
    write(first, monitoring_window="month", date_column_format="yyyymm")
    with pytest.raises(ConfigError, match="tells months, but monitoring_window is week"):
        load_settings().load_configs()
