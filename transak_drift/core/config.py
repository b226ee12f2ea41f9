"""The monitoring configuration: what a `monitoring_config.json` may say, and how it is read.

One file describes one monitored model. Every cloud name the project uses comes from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from transak_drift.core.config_errors import ConfigError, ConfigFault, fault_from_pydantic

ProjectId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
ProjectNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")]
Location = Annotated[str, StringConstraints(pattern=r"^[a-z]+-[a-z]+[0-9]+$")]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"\S")]
ModelMonitorId = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", max_length=63)
]
PubSubId = Annotated[
    str, StringConstraints(pattern=r"^(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", max_length=255)
]
PipelineName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$", max_length=63)]
NotificationChannel = Annotated[
    str, StringConstraints(pattern=r"^projects/[^/]+/notificationChannels/[^/]+$")
]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
FeatureName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"\S")]
Threshold = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False, strict=True)]

CATEGORICAL_BY_DEFAULT = frozenset({"description", "type"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, regex_engine="python-re")


class RetrainPolicy(_Section):
    """When a drift event that is real may start a training."""

    cooldown_minutes: int = Field(
        default=0,
        ge=0,
        strict=True,
        description="Minutes after a training's start in which a further drift event is held.",
    )
    maximum_trainings_in_flight: int = Field(
        default=1,
        ge=1,
        strict=True,
        description="Trainings that may be queued or running at once; further events are held.",
    )
    minimum_anomalous_features: int = Field(
        default=1,
        ge=1,
        strict=True,
        description="Features of one monitoring job that must drift before it trains.",
    )


class MonitoringConfig(_Section):
    """Configuration of the monitoring and retraining of one model.

    The first seven keys are required; every other key has a default. Unknown keys are refused.
    """

    model_config = ConfigDict(title="transak_drift monitoring configuration")

    project_id: ProjectId = Field(description="Google Cloud project id, e.g. af-finanzen.")
    location: Location = Field(description="Google Cloud region, e.g. europe-west6.")
    model_name: DisplayName = Field(description="Display name of the model in Vertex AI.")
    monitoring_job_display_name: DisplayName = Field(
        description="Display name of the Vertex AI ModelMonitor that is created or updated."
    )
    notification_channels: tuple[NotificationChannel, ...] = Field(
        description="Cloud Monitoring channels, projects/<project>/notificationChannels/<id>."
    )
    drift_thresholds: dict[FeatureName, Threshold] = Field(
        min_length=1,
        description="Greatest allowed distance for each monitored feature, in (0, 1].",
    )
    log_anomalies: bool = Field(
        strict=True, description="Write anomalies to Cloud Logging; the trigger needs true."
    )

    project_number: ProjectNumber | None = Field(
        default=None,
        description="Number of the project; Vertex AI names resources by it in log entries.",
    )
    model_monitor_id: ModelMonitorId = Field(
        default="",
        validate_default=False,
        description="Id of the ModelMonitor; by default made from monitoring_job_display_name.",
    )
    user_emails: tuple[EmailAddress, ...] = Field(
        default=(), description="Addresses that Vertex AI mails when a feature drifts."
    )
    feature_types: dict[FeatureName, Literal["categorical", "numerical"]] = Field(
        default_factory=dict,
        description=(
            "Type of a feature where its column does not tell: description and type are "
            "categorical, any other is taken from the data's column type."
        ),
    )
    training_pipeline: PipelineName = Field(
        default="pipeline-train", description="Name of the training pipeline."
    )
    trigger_topic: PubSubId = Field(
        default="ps-transak-i1-train-trigger",
        description="Pub/Sub topic that the log sink publishes drift anomalies to.",
    )
    trigger_subscription: PubSubId = Field(
        default="",
        validate_default=False,
        description="Subscription the sensor pulls; by default <trigger_topic>-subscription.",
    )
    dead_letter_topic: PubSubId = Field(
        default="",
        validate_default=False,
        description="Topic for rejected messages; by default <trigger_topic>-dead-letter.",
    )
    dead_letter_subscription: PubSubId = Field(
        default="",
        validate_default=False,
        description="Keeps rejected messages; by default <dead_letter_topic>-subscription.",
    )
    retrain_policy: RetrainPolicy = Field(
        default_factory=RetrainPolicy, description="When real drift may start a training."
    )
    maximum_training_days: int = Field(
        default=28, ge=1, strict=True, description="Days of transactions a training uses at most."
    )
    start_date: date = Field(
        default=date(2026, 1, 1),
        description="First day that is monitored: the first of the daily partitions.",
    )
    label_column: FeatureName = Field(
        default="category", description="Column that the classifier learns to predict."
    )
    date_column: FeatureName = Field(
        default="date", description="Column with the booking day, in data not split by day."
    )
    transactions: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Your own Parquet or CSV in place of generated transactions on the local platform: "
            "a path with {date}, a directory of days, or one file with a date column."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_derived_names(cls, values: Any) -> Any:
        """Fill names that follow from another name, so that defaults are validated as well."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        display_name = filled.get("monitoring_job_display_name")
        if "model_monitor_id" not in filled and isinstance(display_name, str):
            filled["model_monitor_id"] = default_model_monitor_id(display_name)
        for name, source, suffix in (
            ("trigger_subscription", "trigger_topic", "-subscription"),
            ("dead_letter_topic", "trigger_topic", "-dead-letter"),
            ("dead_letter_subscription", "dead_letter_topic", "-subscription"),
        ):
            source_value = filled.get(source, cls.model_fields[source].default)
            if name not in filled and isinstance(source_value, str):
                filled[name] = f"{source_value}{suffix}"
        return filled

    @model_validator(mode="after")
    def _settings_agree(self) -> MonitoringConfig:
        faults = settings_that_disagree(self.model_dump())
        if faults:
            raise ValueError("; ".join(str(fault) for fault in faults))
        return self

    def feature_type(self, feature: str) -> Literal["categorical", "numerical"] | None:
        """Return how a feature is measured, or None where its column's type decides.

        Args:
            feature: a key of `drift_thresholds`.

        Returns:
            "categorical" (L-infinity distance), "numerical" (Jensen-Shannon divergence) or None.
        """
        declared = self.feature_types.get(feature)
        if declared is None and feature in CATEGORICAL_BY_DEFAULT:
            return "categorical"
        return declared


def settings_that_disagree(document: Mapping[str, Any]) -> list[ConfigFault]:
    """Find settings that are each right but do not go together.

    Args:
        document: the configuration as plain values; parts of a wrong type are passed over, since
            they are reported by themselves.

    Returns:
        One fault for each disagreement.
    """
    faults = []
    thresholds = document.get("drift_thresholds")
    features = set(thresholds) if isinstance(thresholds, Mapping) else None
    types = document.get("feature_types")
    if features is not None and isinstance(types, Mapping):
        faults += [
            ConfigFault(
                f"feature_types.{name}",
                types[name],
                "is the type of a feature without a threshold",
                f"add drift_thresholds.{name} or remove the type",
            )
            for name in sorted(set(types) - features)
        ]
    policy = document.get("retrain_policy")
    minimum = policy.get("minimum_anomalous_features") if isinstance(policy, Mapping) else None
    if features and isinstance(minimum, int) and minimum > len(features):
        faults.append(
            ConfigFault(
                "retrain_policy.minimum_anomalous_features",
                minimum,
                f"is more than the {len(features)} monitored features, so nothing could train",
                f"write {len(features)} or less",
            )
        )
    topic = document.get("trigger_topic", MonitoringConfig.model_fields["trigger_topic"].default)
    if isinstance(topic, str) and document.get("dead_letter_topic") == topic:
        faults.append(
            ConfigFault(
                "dead_letter_topic",
                topic,
                "is the trigger topic itself: rejected messages would return for ever",
                "name another topic",
            )
        )
    return faults


def default_model_monitor_id(display_name: str) -> str:
    """Make a ModelMonitor id from its display name: lower case, other characters as hyphens.

    Args:
        display_name: the monitor's display name, e.g. `transak_i1_data_drift_monitor`.

    Returns:
        An id of at most 63 characters from [a-z0-9-], e.g. `transak-i1-data-drift-monitor`.
        Source: CreateModelMonitorRequest.model_monitor_id, Vertex AI API v1beta1.
    """
    return re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")[:63].strip("-")


@dataclass(frozen=True)
class _DuplicateKeys(Exception):  # noqa: N818 - never leaves this module
    keys: tuple[str, ...]


def _refuse_duplicate_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    repeated = tuple(sorted({key for key in keys if keys.count(key) > 1}))
    if repeated:
        raise _DuplicateKeys(repeated)
    return dict(pairs)


def parse_config(text: str, source: str) -> MonitoringConfig:
    """Read a configuration from JSON text.

    Args:
        text: the JSON document.
        source: where the text came from, for the error message.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: lists every fault with its path, value and fix.
    """
    try:
        document = json.loads(text, object_pairs_hook=_refuse_duplicate_keys)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(
            source,
            [ConfigFault("(file)", where, f"is not valid JSON: {error.msg}", "correct the syntax")],
        ) from None
    except _DuplicateKeys as error:
        raise ConfigError(
            source,
            [ConfigFault(key, key, "is given twice", "keep one of the two") for key in error.keys],
        ) from None
    if not isinstance(document, dict):
        raise ConfigError(
            source,
            [
                ConfigFault(
                    "(file)", document, "is not a JSON object", "write { ... } with the keys"
                )
            ],
        )
    schema_reference = document.pop("$schema", None)
    faults = []
    if schema_reference is not None and not isinstance(schema_reference, str):
        faults.append(
            ConfigFault("$schema", schema_reference, "is not text", "name the schema file's path")
        )
    faults += settings_that_disagree(document)
    try:
        config = MonitoringConfig.model_validate(document)
    except ValidationError as error:
        items = [item for item in error.errors() if item["type"] != "value_error"]
        # A name that was derived is wrong only because its source is: report the source alone.
        written = [item for item in items if _is_written(item, document)]
        fields = MonitoringConfig.model_fields
        faults += [fault_from_pydantic(item, fields) for item in written or items]
        raise ConfigError(source, faults) from None
    if faults:
        raise ConfigError(source, faults)
    return config


def _is_written(item: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    return not item["loc"] or item["type"] == "missing" or item["loc"][0] in document


def load_config(path: Path) -> MonitoringConfig:
    """Read the configuration file.

    Args:
        path: the JSON file.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: the file is missing or unreadable, or any of its content is wrong; lists
            every fault.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        fix = "create it, or name another with TRANSAK_DRIFT_CONFIG"
        raise ConfigError(
            str(path), [ConfigFault("(file)", str(path), "does not exist", fix)]
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            str(path),
            [ConfigFault("(file)", f"byte {error.start}", "is not UTF-8", "save it as UTF-8")],
        ) from None
    except OSError as error:
        raise ConfigError(
            str(path),
            [
                ConfigFault(
                    "(file)", str(path), f"cannot be read: {error.strerror}", "make it readable"
                )
            ],
        ) from None
    return parse_config(text, str(path))


def config_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `monitoring_config.json`, for editors.

    Returns:
        The schema as plain dictionaries; `$schema` is allowed so that a file can name it.
    """
    schema = MonitoringConfig.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["$schema"] = {
        "type": "string",
        "description": "Path of this schema, so that editors complete the file.",
    }
    return schema
