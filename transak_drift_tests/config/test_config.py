"""What a monitoring configuration may say, and what its author is told when it is wrong.

The JSON Schema, which editors complete the file with, takes and refuses the same.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from transak_drift.config.errors import MISSING
from transak_drift.config.monitoring_config import (
    MonitoringConfig,
    config_json_schema,
    default_model_monitor_id,
    load_config,
    parse_config,
)
from transak_drift_tests.config.configurations import (
    CONFIG_FILE,
    REPOSITORY,
    configuration,
    document,
    faults_after,
    faults_of,
)

SCHEMA_FILE = REPOSITORY / "monitoring_config.schema.json"
SCHEMA = Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
TOPIC = "ps-transak-i1-train-trigger"
MISSION_KEYS = (
    "project_id",
    "location",
    "model_name",
    "monitoring_job_display_name",
    "notification_channels",
    "drift_thresholds",
    "log_anomalies",
)
REQUIRED = tuple(name for name in MISSION_KEYS if name != "drift_thresholds")


def test_the_repositorys_file_has_exactly_the_keys_of_the_mission() -> None:
    assert set(document()) - {"$schema"} == set(MISSION_KEYS)
    assert load_config(CONFIG_FILE).model_dump(include=set(MISSION_KEYS)) == {
        "project_id": "af-finanzen",
        "location": "europe-west6",
        "model_name": "transak-i1-train-model",
        "monitoring_job_display_name": "transak_i1_data_drift_monitor",
        "notification_channels": (),
        "drift_thresholds": {"description": 0.3, "type": 0.3},
        "log_anomalies": True,
    }


def test_every_other_key_has_a_default() -> None:
    config = configuration()
    assert (config.training_pipeline, config.model_alias) == ("pipeline-train", "default")
    assert (config.trigger_topic, config.message_grace_minutes) == (TOPIC, 60)
    assert config.model_monitor_id == "transak-i1-data-drift-monitor"
    assert config.further_model_monitor_ids == config.user_emails == ()
    policy = config.retrain_policy
    assert (policy.cooldown_minutes, policy.maximum_trainings_in_flight) == (0, 1)
    assert (policy.maximum_trainings_per_drift, policy.minimum_anomalous_features) == (3, 1)
    assert (policy.objectives, policy.minimum_target_rows) == (("feature",), 20)
    assert (policy.beyond_chance, policy.approval) == (True, "automatic")
    assert (config.promotion.maximum_loss, config.promotion.maximum_class_loss) == (0.02, 0.1)
    assert config.labels is None
    assert config.project_number is config.transactions is config.notifications is None


def test_every_key_can_be_set() -> None:
    changes = {
        "asset_prefix": "transak_i2",
        "project_number": "123456789012",
        "model_monitor_id": "monitor-1",
        "model_alias": "v2-Candidate-1",
        "further_model_monitor_ids": ["monitor-2", "4611686018427387904"],
        "message_grace_minutes": 10_080,
        "expected_training_interval_days": 90,
        "user_emails": ["a.b@example.com", "jürg@bank.example.ch"],
        "feature_types": {"type": "categorical", "Betrag in CHF": "numerical"},
        "drift_thresholds": {"type": 1, "Betrag in CHF": 1e-9},
        "default_drift_thresholds": {"categorical": 0.3, "numerical": 0.1},
        "categorical_metric": "jensen_shannon_divergence",
        "prediction_drift": {"column": "predicted_category", "threshold": 0.2},
        "training_pipeline": "pipeline-train-2",
        "trigger_topic": "topic",
        "trigger_subscription": "topic-pull",
        "dead_letter_topic": "rejected",
        "dead_letter_subscription": "rejected-pull",
        "vertex": {
            "training_dataset": "bq://af-finanzen.transak.training_{model_version}",
            "training_query": None,
            "prediction_dataset": "bq://af-finanzen.transak.predictions_{date:%Y%m}",
            "prediction_query": None,
            "monitoring_output": "gs://transak-i1/monitoring",
            "pipeline_template": "gs://transak-i1/pipeline-train.yaml",
            "pipeline_root": "gs://transak-i1",
            "pipeline_parameters": {"days": "{first_day}", "epochs": 3, "rate": 0.1, "all": True},
            "pipeline_service_account": "pipelines@af-finanzen.iam.gserviceaccount.com",
            "pipeline_network": "projects/123456789012/global/networks/transak",
            "pipeline_labels": {"team": "mlops"},
        },
        "retrain_policy": {
            "cooldown_minutes": 90,
            "maximum_trainings_in_flight": 2,
            "maximum_trainings_per_drift": 4,
            "minimum_anomalous_features": 3,
            "objectives": ["feature", "prediction"],
            "minimum_target_rows": 100,
            "beyond_chance": False,
            "approval": "manual",
            "approval_reminder_days": 7,
        },
        "labels": {
            "column": "Kategorie",
            "expected": ["food", "travel"],
            "minimum_per_class": 5,
            "minimum_share": 0.5,
        },
        "promotion": {"maximum_loss": 0.01, "maximum_class_loss": 0.2, "minimum_rows": 30},
        "training": {"time_budget_seconds": 60, "maximum_rows": 1_000_000},
        "maximum_training_days": 7,
        "maximum_training_minutes": 90,
        "monitoring_window": "month",
        "time_zone": "Europe/Zurich",
        "schedule": {"cron": "30 6,18 * * mon-fri", "time_zone": "UTC"},
        "start_date": "2025-02-28",
        "empty_windows": "allowed",
        "data_quality": {
            "maximum_missing_share": 0,
            "maximum_unseen_share": None,
            "row_count_factor": 1.5,
            "column_types": False,
        },
        "label_column": "Kategorie",
        "date_column": "Buchungstag",
        "date_column_format": "yyyymm",
        "transactions": "data/{date}.parquet",
        "csv": {
            "separator": ";",
            "decimal": ",",
            "encoding": "windows-1252",
            "date_format": "%d.%m.%Y",
        },
        "notification_channels": ["projects/af-finanzen/notificationChannels/123"],
        "notifications": {
            "slack": {"channel": "#über_uns"},
            "email": {"sender": "drift@example.com", "recipients": ["a.b@example.com"]},
        },
    }
    assert set(changes) | set(MISSION_KEYS) == set(MonitoringConfig.model_fields)
    config = configuration(**changes)
    assert config.start_date == date(2025, 2, 28)
    expected = document(**changes)
    expected.pop("$schema", None)
    assert json.loads(config.model_dump_json()) == expected
    parameters = config.vertex.pipeline_parameters.values()
    assert [type(value) for value in parameters] == [str, int, float, bool]
    schema_name = {"$schema": "./monitoring_config.schema.json"}
    assert list(SCHEMA.iter_errors(document(**changes, **schema_name))) == []


def test_data_and_templates_have_several_forms() -> None:
    for key, value in (
        ("training_dataset", "gs://transak-i1/training/*.csv"),
        ("prediction_dataset", "gs://transak-i1/predictions/{date}/*.jsonl"),
        ("prediction_dataset", "batchPredictionJobs/transak-i1 {date}"),
        ("pipeline_template", "pipelines/pipeline-train.yaml"),
        ("pipeline_template", "https://europe-west6-kfp.pkg.dev/af-finanzen/pipelines/train/v1"),
    ):
        assert getattr(configuration(vertex={key: value}).vertex, key) == value
        assert SCHEMA.is_valid(document(vertex={key: value}))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_key_is_named(name: str) -> None:
    values = document()
    del values[name]
    (fault,) = faults_of(json.dumps(values)).values()
    assert (fault.path, fault.value) == (name, MISSING)
    assert str(fault).startswith(f"{name}: is missing; fix: add it: ")
    assert not SCHEMA.is_valid(values)


@pytest.mark.parametrize(
    ("thresholds", "problem"),
    [
        (("-0.3", "0", "-0.0"), "is not greater than 0"),
        (("1.0000001", "1" + "0" * 308), "is greater than 1"),
        (("NaN", "-Infinity", "1e999"), "is not a finite number"),
        (("9" * 309, "true", "null", '"0.3"', "[0.3]", "{}"), "is not a number"),
    ],
)
def test_a_threshold_is_a_number_above_0_and_at_most_1(
    thresholds: tuple[str, ...], problem: str
) -> None:
    text = json.dumps(document(drift_thresholds={"type": 0.3, "description": "HERE"}))
    for threshold in thresholds:
        (fault,) = faults_of(text.replace('"HERE"', threshold)).values()
        assert (fault.path, fault.problem) == ("drift_thresholds.description", problem)
        assert "in (0, 1]" in fault.fix


# By the key that is set: a wrong value, and a part of what is said of it.
WRONG = [
    ("model_name", "", "is empty"),
    ("model_name", " \t", "has the wrong form"),
    ("model_name", "a\nb", "has the wrong form"),
    ("model_name", "m" * 129, "is longer than 128 characters"),
    ("model_name", None, "is not text"),
    ("project_id", "AF-Finanzen", "has the wrong form"),
    ("project_id", "аf-finanzen", r"in ASCII '\u0430f-finanzen'"),
    ("location", "europe-west6-a", "has the wrong form"),
    ("project_number", "0123", "has the wrong form"),
    ("project_number", 123, "is not text"),
    ("model_monitor_id", "-a", "has the wrong form"),
    ("model_monitor_id", "a" * 64, "is longer than 63 characters"),
    ("model_alias", "3", "has the wrong form"),
    ("model_alias", "production-", "has the wrong form"),
    ("further_model_monitor_ids", ["ok", "Not"], '[1] = "Not": has the wrong form'),
    ("message_grace_minutes", 10_081, "is greater than 10080"),
    ("trigger_topic", "ab", "has the wrong form"),
    ("trigger_topic", "google", "starts with goog, which Pub/Sub reserves"),
    ("training_pipeline", "Train", "has the wrong form"),
    ("notification_channels", "x", "is not a list"),
    ("notification_channels", ["x"], '[0] = "x": has the wrong form'),
    ("user_emails", ["a@b.ch", "a@b"], '[1] = "a@b": has the wrong form'),
    ("drift_thresholds", {"": 0.3}, '."" = "": has a key that is empty'),
    ("drift_thresholds", {"a\x07": 0.3}, r'."a\u0007" = "a\u0007": has a key that has the wrong'),
    ("log_anomalies", "true", "is neither true nor false"),
    ("retrain_policy", [], "is not an object"),
    ("retrain_policy.cooldown_minutes", -1, "is less than 0"),
    ("retrain_policy.cooldown_minutes", True, "is not a whole number"),
    ("retrain_policy.cooldown_minute", 5, 'unknown key; fix: did you mean "cooldown_minutes"?'),
    ("cooldown_minutes", 5, "is an unknown key; fix: remove it"),
    ("Drift-Treshold", 1, 'did you mean "drift_thresholds"?'),
    ("maximum_training_days", 1.5, "is not a whole number"),
    ("maximum_training_days", 10**30, "is greater than 3660"),
    ("start_date", 1_767_225_600, "is not a day"),
    ("transactions", "", "is empty"),
    ("$schema", 5, "is an unknown key"),
    ("schedule.hour", 3, "is an unknown key"),
    ("feature_types.type", "text", "is not 'categorical' or"),
    ("default_drift_thresholds.categorical", 0, "is not greater than 0"),
    ("default_drift_thresholds.text", 0.3, "is an unknown key"),
    ("prediction_drift", {"column": "category"}, "threshold: is missing"),
    ("prediction_drift.threshold", 1.5, "is greater than 1"),
    ("categorical_metric", "l_1", "is not 'l_infinity' or"),
    ("retrain_policy.objectives", [], "is empty"),
    ("retrain_policy.objectives", ["label"], "is not 'feature' or"),
    ("labels", [], "is not an object"),
    ("labels.columns", "category", 'did you mean "column"?'),
    ("labels.expected", [], "is empty"),
    ("labels.expected", [" "], "labels.expected[0]"),
    ("labels.expected", ["a", "b", "a"], "names a twice"),
    ("labels.minimum_per_class", -1, "is less than 0"),
    ("labels.minimum_share", 0, "is not greater than 0"),
    ("vertex.training_dataset", "gs://transak-i1/training/data.parquet", ".jsonl"),
    ("vertex.prediction_dataset", "projects/p/batchPredictionJobs/1", "<display name>"),
    ("vertex.monitoring_output", "/tmp", "gs://bucket/path"),
    ("vertex.pipeline_template", "https://evil.example.com/train.yaml", "kfp.pkg.dev"),
    ("vertex.pipeline_root", "transak-i1", "gs://bucket/path"),
    ("vertex.pipeline_service_account", "pipelines", "name@example.com"),
    ("vertex.pipeline_network", "a", "global/networks/<name>"),
    ("vertex.pipeline_templat", "a", '"pipeline_template"'),
    ("vertex.pipeline_labels.Team", "a", "has a key"),
    ("vertex.pipeline_labels.a", "B C", "at most 63"),
    ("vertex.pipeline_parameters.days", [1], "single value; fix: write text in quotes, a number"),
    ("notifications.slack.channel", "drift", "has the wrong form"),
    ("notifications.slack.channel", "#a b", "has the wrong form"),
    ("notifications.slack", {"channel": "#drift", "token": "xoxb"}, "is an unknown key"),
    ("notifications.email", {"sender": "a@b.ch", "recipients": []}, "recipients = []: is empty"),
    ("notifications.email", {"sender": "a@b.ch", "recipients": ["a@b.ch,c@d.ch"]}, "recipients[0]"),
    ("notifications.email", {"sender": "A <a@b.ch>", "recipients": ["a@b.ch"]}, "sender"),
    ("notifications.email", {"sender": "a@b.ch\r\nBcc:c@d.ch", "recipients": ["a@b.ch"]}, "sender"),
]
# What a schema cannot say: the calendar, names of encodings, and what does not go together.
WRONG_FOR_THE_MODEL = [
    ("start_date", "2026-02-30", "is not a day of the calendar"),
    ("start_date", "20260201", "is not a day"),
    ("start_date", "0001-01-01", "is not of the years 1900 to 9998"),
    ("start_date", "9999-12-31", "is not of the years 1900 to 9998"),
    ("start_date", "2026-02-01T00:00:00", "is not a day"),
    ("project_id", "af-finanzen\n", "has the wrong form"),
    ("csv.encoding", "base64", "is no encoding"),
    ("csv.date_format", "%d.%m.", "does not name day, month and year"),
    ("notifications", {}, "names nobody"),
    ("drift_thresholds", {}, "is empty, and nothing else is monitored"),
    ("retrain_policy", {"minimum_anomalous_features": 3}, "more than the 2 that may train"),
    ("retrain_policy", {"objectives": ["prediction"]}, "but predictions are not monitored"),
    ("dead_letter_topic", TOPIC, "is trigger_topic as well: rejected messages would return"),
    ("dead_letter_subscription", f"{TOPIC}-subscription", "is trigger_subscription as well"),
    ("date_column", "category", "is label_column as well: a day is no category"),
    ("further_model_monitor_ids", ["a", "transak-i1-data-drift-monitor"], "twice"),
    ("further_model_monitor_ids", ["12", "b", "12"], "twice"),
]


def change(path: str, value: Any) -> dict[str, Any]:
    """Return the keys that lead to a value."""
    *above, last = path.split(".")
    changes = {last: value}
    for key in reversed(above):
        changes = {key: changes}
    return changes


@pytest.mark.parametrize(("path", "value", "part"), WRONG + WRONG_FOR_THE_MODEL)
def test_a_wrong_value_is_named_with_its_path_problem_and_fix(
    path: str, value: Any, part: str
) -> None:
    (fault,) = faults_after(**change(path, value)).values()
    assert str(fault).startswith(path)
    assert part in str(fault)
    assert fault.fix
    words = fault.problem + fault.fix
    assert re.search(r"\^|\$|\\S|\[\^|\{\d", words) is None, "a regular expression"
    if (path, value, part) in WRONG:
        assert not SCHEMA.is_valid(document(**change(path, value)))


def test_the_schema_file_is_in_step_with_the_model() -> None:
    schema = config_json_schema()
    Draft202012Validator.check_schema(schema)
    assert SCHEMA_FILE.read_text(encoding="utf-8") == (
        json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    ), "write config_json_schema() to monitoring_config.schema.json, as JSON indented by 2"
    assert all(field.get("description") for field in schema["properties"].values())
    assert SCHEMA.is_valid(document(project_number=None, transactions=None))


def test_the_column_of_labels_has_one_name() -> None:
    assert configuration().label_column == configuration(labels={}).label_column == "category"
    for changes in (
        {"labels": {"column": "kind"}},
        {"label_column": "kind", "labels": {}},
        {"label_column": "kind", "labels": {"column": "kind"}},
    ):
        config = configuration(**changes)
        assert config.label_column == "kind"
        assert parse_config(config.model_dump_json(exclude_defaults=True), "test") == config
    faults = faults_after(label_column="category", labels={"column": "kind"})
    assert "is not kind, the column of labels" in str(faults["label_column"])
    faults = faults_after(labels={"column": "date"})
    assert "is label_column as well" in str(faults["date_column"])


def test_all_faults_are_named_at_once() -> None:
    faults = faults_of("""{
        "project_id": "X", "project_id": "Y", "location": 7, "model_name": "",
        "notification_channels": [], "drift_thresholds": {"type": -1, "type": 2, "amount": "a"},
        "log_anomaly": true, "feature_types": {"amount": "number"},
        "retrain_policy": {"cooldown_minutes": -1}, "dead_letter_topic": "topic",
        "trigger_topic": "topic", "date_column": "day", "label_column": "day",
        "notifications": {"email": {"sender": "a@b.ch", "recipient": [], "recipients": ["a"]}}
    }""")
    assert set(faults) == {
        "project_id",
        "location",
        "model_name",
        "monitoring_job_display_name",
        "drift_thresholds.type",
        "drift_thresholds.amount",
        "log_anomalies",
        "log_anomaly",
        "feature_types.amount",
        "retrain_policy.cooldown_minutes",
        "dead_letter_topic",
        "date_column",
        "notifications.email.recipient",
        "notifications.email.recipients[0]",
    }
    assert str(faults["project_id"]) == 'project_id = "Y": is given more than once; fix: keep one'
    assert faults["drift_thresholds.type"].value == 2
    assert '"recipients"' in faults["notifications.email.recipient"].fix


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
    ("name", "value"),
    [
        *(("trigger_topic", wrong) for wrong in ("goog-topic", 5, "a" * 256)),
        *(("monitoring_job_display_name", wrong) for wrong in (" ", 5)),
    ],
)
def test_a_wrong_source_is_named_once_and_not_by_the_names_made_from_it(
    name: str, value: Any
) -> None:
    assert list(faults_after(**{name: value})) == [name]


def test_a_name_that_cannot_be_made_from_a_right_source_is_named_with_its_source() -> None:
    (fault,) = faults_after(monitoring_job_display_name="监控").values()
    assert fault.path == "model_monitor_id"
    assert "by default made from monitoring_job_display_name" in fault.fix
    (fault,) = faults_after(trigger_topic="a" * 250).values()
    assert fault.path == "trigger_subscription"
    assert "is longer than 255 characters" in fault.problem


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


def test_each_feature_without_a_threshold_gets_the_default_of_its_kind() -> None:
    types = {"type": "categorical", "amount": "numerical", "hour": "numerical"}
    defaults = {"categorical": 0.25, "numerical": 0.125}
    for own, expected in (
        ({}, {"type": 0.25, "amount": 0.125, "hour": 0.125}),
        (
            {"hour": 0.5, "description": 0.3},
            {"hour": 0.5, "description": 0.3, "type": 0.25, "amount": 0.125},
        ),
    ):
        config = configuration(
            drift_thresholds=own, feature_types=types, default_drift_thresholds=defaults
        )
        assert list(config.drift_thresholds.items()) == list(expected.items())
    values = document(feature_types=types, default_drift_thresholds=defaults)
    del values["drift_thresholds"]
    assert parse_config(json.dumps(values), "test").drift_thresholds.keys() == types.keys()
    assert SCHEMA.is_valid(values)
    # What is read is written whole, and read again as the same.
    again = parse_config(config.model_dump_json(), "test")
    assert again == config


def test_without_a_default_of_its_kind_a_feature_needs_a_threshold() -> None:
    types = {"amount": "numerical", "hour": "numerical", "channel": "categorical"}
    (fault,) = faults_after(
        feature_types=types, default_drift_thresholds={"categorical": 0.3}
    ).values()
    assert fault.path == "drift_thresholds"
    assert "has no threshold of amount, hour, which feature_types names" in fault.problem
    assert "default_drift_thresholds" in fault.fix


def test_predictions_alone_can_be_monitored_and_never_stand_for_a_feature() -> None:
    prediction, policy = {"threshold": 0.3}, {"objectives": ["prediction"]}
    config = configuration(drift_thresholds={}, prediction_drift=prediction, retrain_policy=policy)
    assert config.thresholds == {"predicted_category": 0.3}
    faults = faults_after(drift_thresholds={}, prediction_drift=prediction)
    assert "no feature is monitored" in faults["retrain_policy"].problem
    (fault,) = faults_after(prediction_drift={"column": "Type", "threshold": 0.3}).values()
    assert (fault.path, "is the column of prediction_drift" in fault.problem) == (
        "drift_thresholds",
        True,
    )
    both = {"objectives": ["feature", "prediction"], "minimum_anomalous_features": 3}
    config = configuration(prediction_drift=prediction, retrain_policy=both)
    assert [config.objective(column) for column in config.thresholds] == [
        *("feature", "feature", "prediction")
    ]
    (fault,) = faults_after(
        prediction_drift=prediction, retrain_policy={**both, "objectives": ["prediction"]}
    ).values()
    assert "more than the 1 that may train" in fault.problem
