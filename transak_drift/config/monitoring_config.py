"""The monitoring configuration: what a `monitoring_config.json` may say, and how it is read.

One file describes one monitored model. Every cloud name the project uses comes from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from transak_drift.config.document import read_config_document
from transak_drift.config.errors import ConfigError, ConfigFault, fault_from_pydantic
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
    ProjectId,
    ProjectNumber,
    PubSubId,
    Threshold,
)
from transak_drift.config.notification_config import NotificationConfig
from transak_drift.config.rules import (
    DEFAULTS,
    DERIVED_FROM,
    settings_that_disagree,
    with_derived_names,
)
from transak_drift.config.vertex_config import VertexConfig

CATEGORICAL_BY_DEFAULT = frozenset({"description", "type"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetrainPolicy(_Section):
    """When a drift event that is real may start a training."""

    cooldown_minutes: int = Field(
        default=0,
        ge=0,
        le=525_600,
        strict=True,
        description="Minutes after a training's start in which a further drift event is held.",
    )
    maximum_trainings_in_flight: int = Field(
        default=1,
        ge=1,
        le=1_000,
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

    asset_prefix: AssetPrefix | None = Field(
        default=None,
        description=(
            "Prefix of the model's assets, jobs and sensors in Dagster, which tells several models "
            "apart; by default the name of a file in monitoring_configs, and none otherwise."
        ),
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
    model_alias: ModelAlias = Field(
        default="default",
        description="Which version of the model is monitored: the one that bears this alias.",
    )
    further_model_monitor_ids: tuple[ModelMonitorId, ...] = Field(
        default=(),
        description=(
            "Other monitors of this model, by id or number, whose anomalies the log sink lets "
            "through as well."
        ),
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
        default=DEFAULTS["trigger_topic"],
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
        default=28,
        ge=1,
        le=3_660,
        strict=True,
        description="Days of transactions a training uses at most.",
    )
    maximum_training_minutes: int = Field(
        default=360,
        ge=1,
        le=43_200,
        strict=True,
        description="Minutes after which a training run counts as failed.",
    )
    message_grace_minutes: int = Field(
        default=60,
        ge=1,
        le=10_080,
        strict=True,
        description=(
            "Minutes after which drift that was read from the platform, but of which no message "
            "came, makes a check fail."
        ),
    )
    start_date: CalendarDay = Field(
        default=date(2026, 1, 1),
        description="First day that is monitored: the first of the daily partitions.",
    )
    label_column: FeatureName = Field(
        default=DEFAULTS["label_column"],
        description="Column that the classifier learns to predict.",
    )
    date_column: FeatureName = Field(
        default=DEFAULTS["date_column"],
        description="Column with the booking day, in data not split by day.",
    )
    transactions: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Your own Parquet or CSV in place of generated transactions on the local platform: "
            "a path with {date}, a directory of days, or one file with a date column."
        ),
    )
    notifications: NotificationConfig | None = Field(
        default=None,
        description="Whom Dagster itself tells of drift and of trainings, in Slack or by e-mail.",
    )
    vertex: VertexConfig = Field(
        default_factory=VertexConfig,
        description="Data and training pipeline on Vertex AI; only the gcp platform reads it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_derived_names(cls, values: Any) -> Any:
        """Fill names that follow from another name, so that defaults are validated as well."""
        return with_derived_names(values) if isinstance(values, Mapping) else values

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
    document, faults = read_config_document(text, source)
    schema_reference = document.pop("$schema", None)
    if schema_reference is not None and not isinstance(schema_reference, str):
        faults.append(
            ConfigFault("$schema", schema_reference, "is not text", "name the schema file's path")
        )
    faults += settings_that_disagree(document)
    try:
        config = MonitoringConfig.model_validate(document)
    except ValidationError as error:
        faults += _field_faults(error, document)
        raise ConfigError(source, faults) from None
    if faults:
        raise ConfigError(source, faults)
    return config


def _field_faults(error: ValidationError, document: Mapping[str, Any]) -> list[ConfigFault]:
    # Settings that disagree are reported by parse_config already, field by field.
    items = [item for item in error.errors() if item["loc"]]
    wrong = {item["loc"][0] for item in items}
    faults = []
    for item in items:
        name = str(item["loc"][0])
        fault = fault_from_pydantic(item, MonitoringConfig.model_fields)
        if name in DERIVED_FROM and name not in document:
            source = DERIVED_FROM[name]
            if source in wrong:
                # It is wrong only because its source is: mending the source mends it.
                continue
            fault = ConfigFault(
                fault.path,
                fault.value,
                f"is made from {source} and {fault.problem}",
                f"set {name}, or change {source}; {fault.fix}",
            )
        faults.append(fault)
    return faults


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
    except IsADirectoryError:
        raise ConfigError(
            str(path), [ConfigFault("(file)", str(path), "is a directory", "name a file in it")]
        ) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigError(
            str(path), [ConfigFault("(file)", str(path), problem, "make it a readable file")]
        ) from None
    return parse_config(text, str(path))


def config_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `monitoring_config.json`, for editors.

    Returns:
        The schema as plain dictionaries; `$schema` is allowed so that a file can name it.
    """
    schema = MonitoringConfig.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for name in DERIVED_FROM:
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
