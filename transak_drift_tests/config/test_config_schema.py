"""The JSON Schema that editors complete `monitoring_config.json` with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from transak_drift.config.monitoring_config import config_json_schema
from transak_drift_tests.config.configurations import REPOSITORY, document, faults_after

SCHEMA_FILE = REPOSITORY / "monitoring_config.schema.json"


@pytest.fixture(scope="module")
def validator() -> Validator:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_file_is_in_step_with_the_model() -> None:
    expected = json.dumps(config_json_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == expected, (
        "write config_json_schema() to monitoring_config.schema.json, as JSON indented by 2"
    )


def test_the_repositorys_configuration_validates(validator: Validator) -> None:
    assert list(validator.iter_errors(document())) == []


def test_a_configuration_may_name_the_schema(validator: Validator) -> None:
    values = document(**{"$schema": "./monitoring_config.schema.json"})
    assert list(validator.iter_errors(values)) == []
    assert faults_after(**{"$schema": "./monitoring_config.schema.json"}) == {}


def test_every_key_is_described_for_the_editor() -> None:
    for name, field in config_json_schema()["properties"].items():
        assert field.get("description"), name


@pytest.mark.parametrize(
    "changes",
    [
        {"drift_thresholds": {"type": -0.1}},
        {"drift_thresholds": {"type": 0}},
        {"drift_thresholds": {"type": 1.1}},
        {"drift_thresholds": {"type": True}},
        {"drift_thresholds": {"type": "0.3"}},
        {"drift_thresholds": {"": 0.3}},
        {"drift_thresholds": {" ": 0.3}},
        {"drift_thresholds": {"a\nb": 0.3}},
        {"drift_thresholds": {}},
        {"feature_types": {"type": "text"}},
        {"model_name": ""},
        {"model_name": 5},
        {"project_id": "AF"},
        {"project_id": "аf-finanzen"},
        {"location": "Zürich"},
        {"notification_channels": ["x"]},
        {"notification_channels": "x"},
        {"user_emails": ["nobody"]},
        {"trigger_topic": "google-topic"},
        {"trigger_topic": "a"},
        {"trigger_subscription": ""},
        {"log_anomalies": "true"},
        {"colour": "red"},
        {"retrain_policy": {"cooldown_minutes": -1}},
        {"retrain_policy": {"cooldown": 1}},
        {"maximum_training_days": 0},
        {"model_alias": "3"},
        {"further_model_monitor_ids": ["-"]},
        {"message_grace_minutes": 0},
        {"$schema": 5},
    ],
)
def test_what_the_model_refuses_the_schema_refuses(
    validator: Validator, changes: dict[str, Any]
) -> None:
    assert faults_after(**changes), "the example is right, so it shows nothing"
    assert not validator.is_valid(document(**changes))


@pytest.mark.parametrize("name", sorted(document()))
def test_a_required_key_is_required_by_the_schema(validator: Validator, name: str) -> None:
    values = document()
    del values[name]
    assert not validator.is_valid(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"drift_thresholds": {"Betrag in CHF": 1}},
        {"project_number": "123456789012"},
        {"project_number": None},
        {"transactions": None},
        {"start_date": "2026-03-01"},
        {"trigger_topic": "topic", "dead_letter_topic": "dead"},
        {"user_emails": ["jürg@bank.example.ch"]},
        {"retrain_policy": {"cooldown_minutes": 60}},
        {"model_alias": "v2-Candidate-1"},
        {"further_model_monitor_ids": ["monitor-2", "4611686018427387904"]},
    ],
)
def test_what_the_model_takes_the_schema_takes(
    validator: Validator, changes: dict[str, Any]
) -> None:
    assert faults_after(**changes) == {}
    assert [error.message for error in validator.iter_errors(document(**changes))] == []
