"""What a monitoring configuration may say, and what its author is told when it is wrong."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.errors import MISSING, ConfigError
from transak_drift.config.monitoring_config import (
    MonitoringConfig,
    default_model_monitor_id,
    load_config,
    parse_config,
)
from transak_drift_tests.config.configurations import (
    CONFIG_FILE,
    configuration,
    document,
    faults_after,
    faults_of,
)

MISSION_KEYS = (
    "project_id",
    "location",
    "model_name",
    "monitoring_job_display_name",
    "notification_channels",
    "drift_thresholds",
    "log_anomalies",
)


def test_the_repositorys_file_has_exactly_the_keys_of_the_mission() -> None:
    assert set(document()) - {"$schema"} == set(MISSION_KEYS)
    config = load_config(CONFIG_FILE)
    assert config.project_id == "af-finanzen"
    assert config.location == "europe-west6"
    assert config.model_name == "transak-i1-train-model"
    assert config.monitoring_job_display_name == "transak_i1_data_drift_monitor"
    assert config.notification_channels == ()
    assert config.drift_thresholds == {"description": 0.3, "type": 0.3}
    assert config.log_anomalies is True


def test_every_other_key_has_a_default() -> None:
    required = {
        name for name, field in MonitoringConfig.model_fields.items() if field.is_required()
    }
    assert required == set(MISSION_KEYS)
    config = configuration()
    assert config.training_pipeline == "pipeline-train"
    assert config.trigger_topic == "ps-transak-i1-train-trigger"
    assert config.trigger_subscription == "ps-transak-i1-train-trigger-subscription"
    assert config.dead_letter_topic == "ps-transak-i1-train-trigger-dead-letter"
    assert config.dead_letter_subscription == "ps-transak-i1-train-trigger-dead-letter-subscription"
    assert config.model_monitor_id == "transak-i1-data-drift-monitor"
    assert config.model_alias == "default"
    assert config.further_model_monitor_ids == ()
    assert config.message_grace_minutes == 60
    assert config.user_emails == ()
    assert config.retrain_policy.cooldown_minutes == 0
    assert config.retrain_policy.maximum_trainings_in_flight == 1
    assert config.retrain_policy.minimum_anomalous_features == 1
    assert config.project_number is None
    assert config.transactions is None


def test_every_key_can_be_set() -> None:
    changes = {
        "asset_prefix": "transak_i2",
        "project_number": "123456789012",
        "model_monitor_id": "monitor-1",
        "model_alias": "production",
        "further_model_monitor_ids": ["monitor-2", "4611686018427387904"],
        "message_grace_minutes": 10_080,
        "user_emails": ["a.b@example.com", "jürg@bank.example.ch"],
        "feature_types": {"type": "categorical", "amount": "numerical"},
        "drift_thresholds": {"type": 1, "amount": 1e-9},
        "training_pipeline": "pipeline-train-2",
        "trigger_topic": "topic",
        "trigger_subscription": "topic-pull",
        "dead_letter_topic": "rejected",
        "dead_letter_subscription": "rejected-pull",
        "vertex": {
            "training_dataset": "bq://af-finanzen.transak.training_{model_version}",
            "prediction_dataset": "bq://af-finanzen.transak.predictions",
            "monitoring_output": "gs://transak-i1/monitoring",
            "pipeline_template": "gs://transak-i1/pipeline-train.yaml",
            "pipeline_root": "gs://transak-i1/pipelines",
            "pipeline_parameters": {"first_day": "{first_day}", "epochs": 3},
            "pipeline_service_account": "pipelines@af-finanzen.iam.gserviceaccount.com",
            "pipeline_network": "projects/123456789012/global/networks/transak",
            "pipeline_labels": {"team": "mlops"},
        },
        "retrain_policy": {
            "cooldown_minutes": 90,
            "maximum_trainings_in_flight": 2,
            "minimum_anomalous_features": 2,
        },
        "maximum_training_days": 7,
        "maximum_training_minutes": 90,
        "start_date": "2025-02-28",
        "label_column": "Kategorie",
        "date_column": "Buchungstag",
        "transactions": "data/{date}.parquet",
        "csv": {
            "separator": ";",
            "decimal": ",",
            "encoding": "windows-1252",
            "date_format": "%d.%m.%Y",
        },
        "notification_channels": ["projects/af-finanzen/notificationChannels/123"],
        "notifications": {
            "slack": {"channel": "#ml-drift"},
            "email": {"sender": "drift@example.com", "recipients": ("a.b@example.com",)},
        },
    }
    assert set(changes) | set(MISSION_KEYS) == set(MonitoringConfig.model_fields)
    config = configuration(**changes)
    assert config.start_date == date(2025, 2, 28)
    expected = {**changes, "start_date": date(2025, 2, 28)}
    found = config.model_dump()
    for name, value in expected.items():
        assert found[name] == (tuple(value) if isinstance(value, list) else value), name


@pytest.mark.parametrize("name", MISSION_KEYS)
def test_a_missing_key_is_named(name: str) -> None:
    values = document()
    del values[name]
    (fault,) = faults_of(json.dumps(values)).values()
    assert fault.path == name
    assert fault.value is MISSING
    assert str(fault).startswith(f"{name}: is missing; fix: add it: ")


@pytest.mark.parametrize(
    ("threshold", "problem"),
    [
        ("-0.3", "is not greater than 0"),
        ("0", "is not greater than 0"),
        ("-0.0", "is not greater than 0"),
        ("1.0000001", "is greater than 1"),
        ("NaN", "is not a finite number"),
        ("Infinity", "is not a finite number"),
        ("-Infinity", "is not a finite number"),
        ("1e999", "is not a finite number"),
        ("9" * 10_000, "is not a finite number"),
        ("9" * 309, "is not a finite number"),
        ("1" + "0" * 308, "is greater than 1"),
        ("true", "is not a number"),
        ("false", "is not a number"),
        ("null", "is not a number"),
        ('"0.3"', "is not a number"),
        ("[0.3]", "is not a number"),
        ("{}", "is not a number"),
    ],
)
def test_a_threshold_is_a_number_above_0_and_at_most_1(threshold: str, problem: str) -> None:
    text = json.dumps(document(drift_thresholds={"type": 0.3, "description": "HERE"}))
    (fault,) = faults_of(text.replace('"HERE"', threshold)).values()
    assert fault.path == "drift_thresholds.description"
    assert fault.problem == problem
    assert fault.fix.startswith("write ")


@pytest.mark.parametrize(
    ("changes", "path", "problem"),
    [
        ({"model_name": ""}, "model_name", "is empty"),
        ({"model_name": " \t"}, "model_name", "has the wrong form"),
        ({"model_name": "a\nb"}, "model_name", "has the wrong form"),
        ({"model_name": "m" * 129}, "model_name", "is longer than 128 characters"),
        ({"model_name": 5}, "model_name", "is not text"),
        ({"model_name": None}, "model_name", "is not text"),
        ({"monitoring_job_display_name": ""}, "monitoring_job_display_name", "is empty"),
        ({"project_id": "AF-Finanzen"}, "project_id", "has the wrong form"),
        ({"project_id": ""}, "project_id", "has the wrong form"),
        ({"project_id": "af-finanzen\n"}, "project_id", "has the wrong form"),
        ({"project_id": "af-finanzen-"}, "project_id", "has the wrong form"),
        ({"location": "Zürich"}, "location", "has the wrong form"),
        ({"location": "europe-west6-a"}, "location", "has the wrong form"),
        ({"location": "europe-west6\n"}, "location", "has the wrong form"),
        ({"project_number": "0123"}, "project_number", "has the wrong form"),
        ({"project_number": 123}, "project_number", "is not text"),
        ({"model_monitor_id": "-a"}, "model_monitor_id", "has the wrong form"),
        ({"model_monitor_id": "a" * 64}, "model_monitor_id", "is longer than 63 characters"),
        ({"model_alias": "3"}, "model_alias", "has the wrong form"),
        ({"model_alias": "production-"}, "model_alias", "has the wrong form"),
        ({"model_alias": None}, "model_alias", "is not text"),
        (
            {"further_model_monitor_ids": ["ok", "Not"]},
            "further_model_monitor_ids[1]",
            "has the wrong form",
        ),
        ({"further_model_monitor_ids": "ok"}, "further_model_monitor_ids", "is not a list"),
        ({"further_model_monitor_ids": [7]}, "further_model_monitor_ids[0]", "is not text"),
        ({"message_grace_minutes": 0}, "message_grace_minutes", "is less than 1"),
        ({"message_grace_minutes": 10_081}, "message_grace_minutes", "is greater than 10080"),
        ({"trigger_topic": "ab"}, "trigger_topic", "has the wrong form"),
        ({"trigger_topic": "a/b/c"}, "trigger_topic", "has the wrong form"),
        ({"trigger_topic": "google"}, "trigger_topic", "starts with goog, which Pub/Sub reserves"),
        ({"training_pipeline": "Train"}, "training_pipeline", "has the wrong form"),
        ({"notification_channels": "x"}, "notification_channels", "is not a list"),
        (
            {"notification_channels": ["x"]},
            "notification_channels[0]",
            "has the wrong form",
        ),
        ({"user_emails": ["a@b.ch", "a@b"]}, "user_emails[1]", "has the wrong form"),
        ({"user_emails": ["a b@c.ch"]}, "user_emails[0]", "has the wrong form"),
        ({"drift_thresholds": {}}, "drift_thresholds", "is empty"),
        ({"drift_thresholds": []}, "drift_thresholds", "is not an object"),
        ({"drift_thresholds": {"": 0.3}}, 'drift_thresholds.""', "has a key that is empty"),
        (
            {"drift_thresholds": {"a\x07": 0.3}},
            'drift_thresholds."a\\u0007"',
            "has a key that has the wrong form",
        ),
        ({"log_anomalies": "true"}, "log_anomalies", "is neither true nor false"),
        ({"log_anomalies": 1}, "log_anomalies", "is neither true nor false"),
        ({"retrain_policy": []}, "retrain_policy", "is not an object"),
        (
            {"retrain_policy": {"cooldown_minutes": -1}},
            "retrain_policy.cooldown_minutes",
            "is less than 0",
        ),
        (
            {"retrain_policy": {"cooldown_minutes": 10**12}},
            "retrain_policy.cooldown_minutes",
            "is greater than 525600",
        ),
        (
            {"retrain_policy": {"cooldown_minutes": True}},
            "retrain_policy.cooldown_minutes",
            "is not a whole number",
        ),
        (
            {"retrain_policy": {"maximum_trainings_in_flight": 0}},
            "retrain_policy.maximum_trainings_in_flight",
            "is less than 1",
        ),
        ({"maximum_training_days": 1.5}, "maximum_training_days", "is not a whole number"),
        ({"maximum_training_days": 10**30}, "maximum_training_days", "is greater than 3660"),
        ({"start_date": "2026-02-30"}, "start_date", "is not a day of the calendar"),
        ({"start_date": "20260201"}, "start_date", "is not a day of the calendar"),
        ({"start_date": "2026-02-01T00:00:00"}, "start_date", "is not a day of the calendar"),
        ({"start_date": "２０２６-02-01"}, "start_date", "is not a day of the calendar"),
        ({"start_date": 1_767_225_600}, "start_date", "is not a day of the calendar"),
        ({"transactions": ""}, "transactions", "is empty"),
        ({"$schema": 5}, "$schema", "is not text"),
        (
            {"feature_types": {"type": "text"}},
            "feature_types.type",
            "is not 'categorical' or 'numerical'",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_place_problem_and_fix(
    changes: dict[str, Any], path: str, problem: str
) -> None:
    (fault,) = faults_after(**changes).values()
    assert fault.path == path
    assert fault.problem.partition(":")[0] == problem
    assert fault.fix
    assert str(fault).startswith(f"{path} = ")


@pytest.mark.parametrize(
    ("changes", "character"),
    [
        ({"project_id": "аf-finanzen"}, "CYRILLIC SMALL LETTER A"),
        ({"project_id": "af\u200d-finanzen"}, "ZERO WIDTH JOINER"),
        ({"location": "europe-west６"}, "FULLWIDTH DIGIT SIX"),
        ({"trigger_topic": "tоpic"}, "CYRILLIC SMALL LETTER O"),
    ],
)
def test_a_character_that_only_looks_right_is_named(
    changes: dict[str, str], character: str
) -> None:
    (fault,) = faults_after(**changes).values()
    assert character in str(fault)


def test_no_message_shows_a_regular_expression() -> None:
    wrong = {
        "project_id": "?",
        "project_number": "?",
        "location": "?",
        "model_name": "\n",
        "model_monitor_id": "?",
        "trigger_topic": "?",
        "training_pipeline": "?",
        "notification_channels": ["?"],
        "user_emails": ["?"],
        "drift_thresholds": {"\n": 0.3},
    }
    faults = faults_after(**wrong)
    assert {re.split(r"[.\[]", path)[0] for path in faults} == set(wrong)
    for fault in faults.values():
        assert re.search(r"\^|\$|\\S|\[\^|\{\d", fault.problem + fault.fix) is None, str(fault)


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    assert faults_after(modelname="x")["modelname"].fix.startswith('did you mean "model_name"?')
    assert '"drift_thresholds"' in faults_after(**{"Drift-Treshold": 1})["Drift-Treshold"].fix
    assert faults_after(colour="red")["colour"].fix == "remove it"
    nested = faults_after(retrain_policy={"cooldown_minute": 5})["retrain_policy.cooldown_minute"]
    assert nested.fix == 'did you mean "cooldown_minutes"? otherwise remove it'
    assert nested.problem == "is an unknown key"
    # A key of the section is no key at the top, and the other way round.
    assert faults_after(cooldown_minutes=5)["cooldown_minutes"].fix == "remove it"


def test_all_faults_are_told_at_once() -> None:
    text = """{
        "project_id": "X", "project_id": "Y", "location": 7, "model_name": "",
        "notification_channels": [], "drift_thresholds": {"type": -1, "type": 2, "amount": "a"},
        "log_anomaly": true, "feature_types": {"other": "numerical", "amount": "number"},
        "retrain_policy": {"minimum_anomalous_features": 3, "cooldown_minutes": -1},
        "dead_letter_topic": "topic", "trigger_topic": "topic"
    }"""
    faults = faults_of(text)
    assert set(faults) == {
        "project_id",
        "location",
        "model_name",
        "monitoring_job_display_name",
        "drift_thresholds.type",
        "drift_thresholds.amount",
        "log_anomalies",
        "log_anomaly",
        "feature_types.other",
        "feature_types.amount",
        "retrain_policy.minimum_anomalous_features",
        "retrain_policy.cooldown_minutes",
        "dead_letter_topic",
    }
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "some/file.json")
    message = str(caught.value)
    # Two keys stand twice and are wrong besides.
    assert message.startswith("some/file.json has 15 faults:\n  - ")
    assert len(message.splitlines()) == 16
    assert message.count("is given more than once; fix: keep one of them") == 2


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"feature_types": {"amount": "numerical"}}, "feature_types.amount"),
        (
            {"retrain_policy": {"minimum_anomalous_features": 3}},
            "retrain_policy.minimum_anomalous_features",
        ),
        ({"dead_letter_topic": "ps-transak-i1-train-trigger"}, "dead_letter_topic"),
        (
            {"trigger_subscription": "ps-transak-i1-train-trigger-dead-letter-subscription"},
            "dead_letter_subscription",
        ),
        ({"date_column": "category"}, "date_column"),
        (
            {"further_model_monitor_ids": ["a", "transak-i1-data-drift-monitor"]},
            "further_model_monitor_ids[1]",
        ),
        ({"further_model_monitor_ids": ["12", "b", "12"]}, "further_model_monitor_ids[2]"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], path: str) -> None:
    (fault,) = faults_after(**changes).values()
    assert fault.path == path


def test_derived_names_follow_their_source() -> None:
    config = configuration(
        trigger_topic="topic", monitoring_job_display_name="  Überwachung: Zürich (2026) "
    )
    assert config.trigger_subscription == "topic-subscription"
    assert config.dead_letter_topic == "topic-dead-letter"
    assert config.dead_letter_subscription == "topic-dead-letter-subscription"
    assert config.model_monitor_id == "berwachung-z-rich-2026"
    assert configuration(dead_letter_topic="dead").dead_letter_subscription == "dead-subscription"


@pytest.mark.parametrize(
    "changes",
    [
        {"trigger_topic": "a b"},
        {"trigger_topic": ""},
        {"trigger_topic": "goog-topic"},
        {"trigger_topic": 5},
        {"trigger_topic": "a" * 256},
        {"monitoring_job_display_name": ""},
        {"monitoring_job_display_name": " "},
        {"monitoring_job_display_name": 5},
    ],
)
def test_a_wrong_source_is_told_once_and_not_by_the_names_made_from_it(
    changes: dict[str, Any],
) -> None:
    assert list(faults_after(**changes)) == list(changes)


def test_a_name_that_cannot_be_made_from_a_right_source_is_told_beside_other_faults() -> None:
    faults = faults_after(monitoring_job_display_name="监控", trigger_topic="a" * 250, location="")
    assert set(faults) == {
        "location",
        "model_monitor_id",
        "trigger_subscription",
        "dead_letter_topic",
    }
    assert "is made from monitoring_job_display_name" in faults["model_monitor_id"].problem
    assert faults["model_monitor_id"].fix.startswith("set model_monitor_id, or change ")
    assert "is longer than 255 characters" in faults["dead_letter_topic"].problem


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_derived_monitor_id_has_only_allowed_characters(display_name: str) -> None:
    monitor_id = default_model_monitor_id(display_name)
    assert re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?", monitor_id)
    assert default_model_monitor_id(monitor_id) == monitor_id


def test_a_feature_is_measured_as_declared_or_as_known() -> None:
    config = configuration(
        drift_thresholds={"description": 0.3, "type": 0.3, "amount": 0.1, "hour": 0.1},
        feature_types={"type": "numerical", "hour": "categorical"},
    )
    assert config.feature_type("description") == "categorical"
    assert config.feature_type("type") == "numerical"
    assert config.feature_type("hour") == "categorical"
    assert config.feature_type("amount") is None
