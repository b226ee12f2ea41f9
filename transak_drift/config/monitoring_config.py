"""The monitoring configuration: what a `monitoring_config.json` may say, and how it is read.

One file describes one monitored model. Every cloud name the project uses comes from here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from transak_drift.config.errors import (
    ConfigError,
    ConfigFault,
    dotted_path,
    faults_from_pydantic,
)
from transak_drift.config.fields import (
    AssetPrefix,
    CalendarDay,
    DisplayName,
    EmailAddress,
    FeatureName,
    Location,
    ModelAlias,
    ModelMonitorId,
    NotificationChannel,
    PipelineName,
    PositiveCount,
    ProjectId,
    ProjectNumber,
    PubSubId,
    Section,
    Threshold,
)
from transak_drift.config.sections import CsvFormat, NotificationConfig, VertexConfig

DEFAULT_TRIGGER_TOPIC = "ps-transak-i1-train-trigger"
MAX_NESTING = 32
CATEGORICAL_BY_DEFAULT = frozenset({"description", "type"})

FeatureType = Literal["categorical", "numerical"]


class RetrainPolicy(Section):
    """When a drift event that is real may start a training."""

    cooldown_minutes: Annotated[int, Field(ge=0, le=525_600, strict=True)] = 0
    """Minutes after a training's start in which a further drift event is held."""

    maximum_trainings_in_flight: Annotated[PositiveCount, Field(le=1_000)] = 1
    """Trainings that may be queued or running at once; further events are held."""

    minimum_anomalous_features: PositiveCount = 1
    """Features of one monitoring job that must drift before it trains."""


class MonitoringConfig(Section):
    """Configuration of the monitoring and retraining of one model.

    The first seven keys are required; every other key has a default. Unknown keys are refused.
    """

    model_config = ConfigDict(title="transak_drift monitoring configuration")

    project_id: ProjectId
    """Google Cloud project id: 6 to 30 lower-case letters, digits or inner hyphens, a letter first,
    e.g. af-finanzen."""

    location: Location
    """Google Cloud region in lower case, e.g. europe-west6."""

    model_name: DisplayName
    """Display name of the model in Vertex AI, in visible characters on one line."""

    monitoring_job_display_name: DisplayName
    """Display name of the Vertex AI ModelMonitor that is created or updated, in visible characters
    on one line."""

    notification_channels: tuple[NotificationChannel, ...]
    """Cloud Monitoring channels, projects/<project>/notificationChannels/<id>, as
    `gcloud beta monitoring channels list` shows them."""

    drift_thresholds: dict[FeatureName, Threshold] = Field(min_length=1)
    """Greatest allowed distance for each monitored feature, in (0, 1]."""

    log_anomalies: Annotated[bool, Field(strict=True)]
    """Write anomalies to Cloud Logging; the trigger needs true."""

    asset_prefix: AssetPrefix | None = None
    """Prefix of the model's assets, jobs and sensors in Dagster, which tells several models apart:
    at most 40 lower-case letters, digits or underscores, a letter first, e.g. transak_i2; by
    default the name of a file in monitoring_configs, and none otherwise."""

    project_number: ProjectNumber | None = None
    """Number of the project in quotes, e.g. "123456789012"; Vertex AI names resources by it in log
    entries."""

    model_monitor_id: ModelMonitorId = Field(default="", validate_default=False)
    """Id of the ModelMonitor: at most 63 lower-case letters, digits or inner hyphens, a letter
    first, or the number of one that exists; by default made from monitoring_job_display_name."""

    model_alias: ModelAlias = "default"
    """Which version of the model is monitored: the one that bears this alias. It has 2 to 128
    letters, digits or inner hyphens, a lower-case letter first and such a letter or a digit last,
    e.g. default or production, and is not the version's number."""

    further_model_monitor_ids: tuple[ModelMonitorId, ...] = ()
    """Other monitors of this model, by id or number as in model_monitor_id, whose anomalies the log
    sink lets through as well."""

    user_emails: tuple[EmailAddress, ...] = ()
    """Addresses, such as name@example.com, that Vertex AI mails when a feature drifts."""

    feature_types: dict[FeatureName, FeatureType] = Field(default_factory=dict)
    """Kind of a feature. Where it is not set, description and type are categorical, and the
    baseline decides the kind of any other by its column, once."""

    training_pipeline: PipelineName = "pipeline-train"
    """Name of the training pipeline: at most 63 lower-case letters, digits or hyphens, a letter
    first."""

    trigger_topic: PubSubId = DEFAULT_TRIGGER_TOPIC
    """Pub/Sub topic that the log sink publishes drift anomalies to: 3 to 255 letters, digits or any
    of . _ ~ + % -, a letter first and not goog."""

    trigger_subscription: PubSubId = Field(default="", validate_default=False)
    """Subscription that the sensor pulls, named as trigger_topic is; by default
    <trigger_topic>-subscription."""

    dead_letter_topic: PubSubId = Field(default="", validate_default=False)
    """Topic for rejected messages, named as trigger_topic is; by default
    <trigger_topic>-dead-letter."""

    dead_letter_subscription: PubSubId = Field(default="", validate_default=False)
    """Subscription that keeps rejected messages, named as trigger_topic is; by default
    <dead_letter_topic>-subscription."""

    retrain_policy: RetrainPolicy = Field(default_factory=RetrainPolicy)
    """When real drift may start a training."""

    maximum_training_days: Annotated[PositiveCount, Field(le=3_660)] = 28
    """Days of transactions a training uses at most."""

    maximum_training_minutes: Annotated[PositiveCount, Field(le=43_200)] = 360
    """Minutes after which a training run counts as failed."""

    message_grace_minutes: Annotated[PositiveCount, Field(le=10_080)] = 60
    """Minutes after which drift that was read from the platform, but of which no message came,
    makes a check fail."""

    start_date: CalendarDay = date(2026, 1, 1)
    """First day that is monitored: the first of the daily partitions."""

    label_column: FeatureName = "category"
    """Column that the classifier learns to predict."""

    date_column: FeatureName = "date"
    """Column with the booking day, in data not split by day."""

    transactions: Annotated[str, Field(min_length=1)] | None = None
    """Your own Parquet or CSV in place of generated transactions on the local platform: a path
    with {date}, a directory of days, or one file with a date column."""

    csv: CsvFormat = Field(default_factory=CsvFormat)
    """Form of the CSV files that transactions names: separator, decimal mark, encoding, dates."""

    notifications: NotificationConfig | None = None
    """Whom Dagster itself notifies of drift and of trainings, in Slack or by e-mail."""

    vertex: VertexConfig = Field(default_factory=VertexConfig)
    """Data and training pipeline on Vertex AI; only the gcp platform reads it."""

    @model_validator(mode="before")
    @classmethod
    def _fill_derived_names(cls, values: Any) -> Any:
        """Fill names that follow from another name, so that they are validated as well."""
        return _with_derived_names(values) if isinstance(values, Mapping) else values

    def feature_type(self, feature: str) -> FeatureType | None:
        """Return how a feature is measured, or None where its column's type decides.

        Categorical is the L-infinity distance, numerical the Jensen-Shannon divergence.
        """
        declared = self.feature_types.get(feature)
        if declared is None and feature in CATEGORICAL_BY_DEFAULT:
            return "categorical"
        return declared


def default_model_monitor_id(display_name: str) -> str:
    """Make a ModelMonitor id of a display name: lower case, other characters as hyphens.

    Source: CreateModelMonitorRequest.model_monitor_id, Vertex AI API v1beta1.
    """
    return re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")[:63].strip("-")


# Each name that follows from another where it is not given.
_DERIVED: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "model_monitor_id": ("monitoring_job_display_name", default_model_monitor_id),
    "trigger_subscription": ("trigger_topic", "{}-subscription".format),
    "dead_letter_topic": ("trigger_topic", "{}-dead-letter".format),
    "dead_letter_subscription": ("dead_letter_topic", "{}-subscription".format),
}


def _with_derived_names(document: Mapping[str, Any]) -> dict[str, Any]:
    filled = {"trigger_topic": DEFAULT_TRIGGER_TOPIC, **document}
    for name, (source, derive) in _DERIVED.items():
        if name not in filled and isinstance(filled.get(source), str):
            filled[name] = derive(filled[source])
    return filled


def _disagreements(document: Mapping[str, Any]) -> Iterator[ConfigFault]:
    """Find settings that are each right but do not go together, passing over wrong types."""
    thresholds, types = document.get("drift_thresholds"), document.get("feature_types")
    policy = document.get("retrain_policy")
    if isinstance(thresholds, dict) and isinstance(types, dict):
        for name in sorted(types.keys() - thresholds.keys()):
            yield ConfigFault(
                dotted_path(("feature_types", name)),
                types[name],
                "is the type of a feature without a threshold",
                f"add {dotted_path(('drift_thresholds', name))} or remove the type",
            )
    minimum = policy.get("minimum_anomalous_features") if isinstance(policy, dict) else None
    if isinstance(minimum, int) and isinstance(thresholds, dict) and 0 < len(thresholds) < minimum:
        yield ConfigFault(
            "retrain_policy.minimum_anomalous_features",
            minimum,
            f"is more than the {len(thresholds)} monitored features, so nothing could train",
            f"write {len(thresholds)} or less",
        )
    defaults = {name: field.default for name, field in MonitoringConfig.model_fields.items()}
    names = {**defaults, **_with_derived_names(document)}
    same_topic = names["dead_letter_topic"] == names["trigger_topic"]
    if same_topic and names["trigger_topic"]:
        problem = "is the trigger topic itself: rejected messages would return for ever"
        yield _not_another("dead_letter_topic", names, problem, "trigger_topic")
    subscription = names["dead_letter_subscription"]
    # Made from one topic, the subscriptions are one as well: naming another topic is enough.
    is_consequence = same_topic and "dead_letter_subscription" not in document
    if subscription and subscription == names["trigger_subscription"] and not is_consequence:
        problem = "is the trigger subscription itself: it cannot be bound to both topics"
        yield _not_another("dead_letter_subscription", names, problem, "trigger_subscription")
    if names["date_column"] and names["date_column"] == names["label_column"]:
        problem = "is the label column itself: a day is no category"
        yield _not_another("date_column", names, problem, "label_column")
    further = names.get("further_model_monitor_ids")
    known = {str(names.get("model_monitor_id")): "model_monitor_id"}
    for index, monitor in enumerate(further if isinstance(further, list) else ()):
        path = f"further_model_monitor_ids[{index}]"
        if isinstance(monitor, str) and known.setdefault(monitor, path) != path:
            yield ConfigFault(path, monitor, f"is {known[monitor]} already", "remove it")


def _not_another(name: str, names: Mapping[str, Any], problem: str, other: str) -> ConfigFault:
    return ConfigFault(name, names[name], problem, f"name another than {other}")


def parse_config(text: str, source: str) -> MonitoringConfig:
    """Read a configuration from JSON text; `source` says where it came from.

    Raises:
        ConfigError: lists every fault with its path, value and fix.
    """
    document, faults = _read_document(text, source)
    schema = document.pop("$schema", None)
    if schema is not None and not isinstance(schema, str):
        faults.append(ConfigFault("$schema", schema, "is not text", "name the schema file's path"))
    faults += _disagreements(document)
    try:
        config = MonitoringConfig.model_validate(document)
    except ValidationError as error:
        faults += _field_faults(error, document)
    if faults:
        raise ConfigError(source, faults)
    return config


def _field_faults(error: ValidationError, document: Mapping[str, Any]) -> Iterator[ConfigFault]:
    found = faults_from_pydantic(error, MonitoringConfig)
    wrong = {item["loc"][0] for item, _ in found}
    for item, fault in found:
        name = str(item["loc"][0])
        if name in document or name not in _DERIVED:
            yield fault
            continue
        source, _ = _DERIVED[name]
        # Where its source is wrong too, fixing that is enough.
        if source not in wrong:
            problem = f"is made from {source} and {fault.problem}"
            fix = f"set {name}, or change {source}; {fault.fix}"
            yield ConfigFault(fault.path, fault.value, problem, fix)


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys the text gives more than once."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [
            key for key, count in Counter(key for key, _ in pairs).items() if count > 1
        ]


def _read_document(text: str, source: str) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Read a JSON object, with a fault for each key that is given more than once.

    NaN and Infinity are read as numbers, so that the setting they stand in can be named.
    """
    try:
        document = json.loads(text, object_pairs_hook=_Object, parse_int=_integer)
        if isinstance(document, dict):
            return document, list(_repeated_keys(document, ()))
        shown, problem, fix = text.strip(), "is not a JSON object", "write { ... } with the keys"
    except json.JSONDecodeError as error:
        shown = f"line {error.lineno}, column {error.colno}"
        problem, fix = f"is not valid JSON: {error.msg}", "correct the syntax"
        if text.startswith("\ufeff"):
            problem, fix = "starts with a byte order mark", "save it as UTF-8 without one"
        elif not text.strip():
            problem, fix = "is empty", "write { ... } with the keys"
    except RecursionError:
        shown = "[[[..."
        problem = f"nests objects or lists more than {MAX_NESTING} deep"
        fix = "write the settings as the schema names them"
    raise ConfigError(source, [ConfigFault("(file)", shown, problem, fix)])


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits, which no setting is.
    number = float(digits)
    return number if math.isinf(number) else int(digits)


def _repeated_keys(value: Any, location: tuple[str | int, ...]) -> Iterator[ConfigFault]:
    if len(location) > MAX_NESTING:
        raise RecursionError
    if isinstance(value, _Object):
        for key in value.repeated:
            path = dotted_path((*location, key))
            yield ConfigFault(path, value[key], "is given more than once", "keep one of them")
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        if isinstance(member, dict | list):
            yield from _repeated_keys(member, (*location, key))


def load_config(path: Path) -> MonitoringConfig:
    """Read a configuration file, as `parse_config`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        fix = "create it, or name another with TRANSAK_DRIFT_CONFIG"
        fault = ConfigFault("(file)", str(path), "does not exist", fix)
    except UnicodeDecodeError as error:
        fault = ConfigFault("(file)", f"byte {error.start}", "is not UTF-8", "save it as UTF-8")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        fault = ConfigFault("(file)", str(path), problem, "name a readable file")
    else:
        return parse_config(text, str(path))
    raise ConfigError(str(path), [fault])


def config_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `monitoring_config.json`, for editors."""
    document = json.dumps(MonitoringConfig.model_json_schema(mode="validation"))
    schema: dict[str, Any] = json.loads(re.sub(r"(\\n)+", " ", document))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for name in _DERIVED:
        # The empty default only stands for "made from another name"; no editor should write it.
        del schema["properties"][name]["default"]
    for field in schema["properties"].values():
        for pattern, value in field.pop("patternProperties", {}).items():
            # Otherwise a key that does not match the pattern would not be checked at all.
            field["propertyNames"]["pattern"] = pattern
            field["additionalProperties"] = value
    schema["properties"]["$schema"] = {
        "type": "string",
        "description": "Path of this schema, so that editors complete the file.",
    }
    return schema
