"""The monitoring configuration: what a `monitoring_config.json` may say, and how it is read.

One file describes one monitored model. Every cloud name the project uses comes from here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from transak_drift.config.data_source import data_source_faults
from transak_drift.config.errors import (
    MISSING,
    ConfigError,
    ConfigFault,
    Repeated,
    faults_from_pydantic,
)
from transak_drift.config.monitoring_window import WindowCalendar, WindowLength
from transak_drift.config.retrain_policy import Objective, RetrainPolicy
from transak_drift.config.schedule import MonitoringSchedule
from transak_drift.config.sections import (
    CalendarDay,
    CsvFormat,
    DataQuality,
    DefaultDriftThresholds,
    DisplayName,
    EmailAddress,
    FeatureName,
    LabelPolicy,
    ModelMonitorId,
    NotificationChannel,
    NotificationConfig,
    PositiveCount,
    PredictionDrift,
    PromotionPolicy,
    PubSubId,
    Section,
    Threshold,
    TimeZone,
    TrainingConfig,
    VertexConfig,
    fault,
)

DEFAULT_TRIGGER_TOPIC = "ps-transak-i1-train-trigger"
CATEGORICAL_BY_DEFAULT = frozenset({"description", "type"})
# Names that must differ from another, and why.
_DIFFERENT = {
    "dead_letter_topic": ("trigger_topic", "rejected messages would return for ever"),
    "dead_letter_subscription": ("trigger_subscription", "it cannot be bound to both topics"),
    "date_column": ("label_column", "a day is no category"),
}

FeatureType = Literal["categorical", "numerical"]
DateColumnFormat = Literal["date", "yyyymm"]
CategoricalMetric = Literal["l_infinity", "jensen_shannon_divergence"]


def default_model_monitor_id(display_name: str) -> str:
    """Make a ModelMonitor id of a display name: lower case, other characters as hyphens.

    Source: CreateModelMonitorRequest.model_monitor_id, Vertex AI API v1beta1.
    """
    return re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")[:63].strip("-")


def _derived(source: str, make: Callable[[Any], object]) -> Any:
    """Return a field whose default is made of another field."""
    return Field(default_factory=lambda made: make(made[source]), validate_default=True)


def _column_of(labels: LabelPolicy | None) -> str | None:
    return None if labels is None else labels.column


class MonitoringConfig(Section):
    """Configuration of the monitoring and retraining of one model.

    The first six keys are required, and something to monitor; every other key has a default.
    Unknown keys are refused.
    """

    model_config = ConfigDict(title="transak_drift monitoring configuration")

    project_id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
    """Google Cloud project id: 6 to 30 lower-case letters, digits or inner hyphens, a letter first,
    e.g. af-finanzen."""

    location: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+[0-9]+$")]
    """Google Cloud region in lower case, e.g. europe-west6."""

    model_name: DisplayName
    """Display name of the model in Vertex AI, in visible characters on one line."""

    monitoring_job_display_name: DisplayName
    """Display name of the Vertex AI ModelMonitor that is created or updated, in visible characters
    on one line."""

    notification_channels: tuple[NotificationChannel, ...]
    """Cloud Monitoring channels, projects/<project>/notificationChannels/<id>, as
    `gcloud beta monitoring channels list` shows them."""

    log_anomalies: Annotated[bool, Field(strict=True)]
    """Write anomalies to Cloud Logging; the trigger needs true."""

    feature_types: dict[FeatureName, FeatureType] = Field(default_factory=dict)
    """Kind of a feature. Where it is not set, description and type are categorical, and the
    baseline decides the kind of any other by its column, once."""

    default_drift_thresholds: DefaultDriftThresholds = Field(default_factory=DefaultDriftThresholds)
    """Thresholds by kind of the features in feature_types that drift_thresholds does not name."""

    prediction_drift: PredictionDrift | None = None
    """Monitor the predicted label as well; not monitored by default."""

    drift_thresholds: dict[FeatureName, Threshold] = Field(
        default_factory=dict, validate_default=True
    )
    """Greatest allowed distance for each monitored feature, in (0, 1]; those of feature_types need
    none where there is a default of their kind."""

    categorical_metric: CategoricalMetric = "l_infinity"
    """Distance of categorical features and of predictions: l_infinity, the greatest change of a
    value's share, or jensen_shannon_divergence, over all values."""

    asset_prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    """Prefix of the model's assets, jobs and sensors in Dagster, which tells several models apart:
    at most 40 lower-case letters, digits or underscores, a letter first, e.g. transak_i2; by
    default the name of a file in monitoring_configs, and none otherwise."""

    project_number: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,18}$")] | None = None
    """Number of the project in quotes, e.g. "123456789012"; Vertex AI names resources by it in log
    entries."""

    model_monitor_id: ModelMonitorId = _derived(
        "monitoring_job_display_name", default_model_monitor_id
    )
    """Id of the ModelMonitor: at most 63 lower-case letters, digits or inner hyphens, a letter
    first, or the number of one that exists; by default made from monitoring_job_display_name."""

    model_alias: Annotated[str, Field(pattern=r"^[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]$")] = "default"
    """Which version of the model is monitored: the one that bears this alias. It has 2 to 128
    letters, digits or inner hyphens, a lower-case letter first and such a letter or a digit last,
    e.g. default or production, and is not the version's number."""

    further_model_monitor_ids: tuple[ModelMonitorId, ...] = ()
    """Other monitors of this model, by id or number as in model_monitor_id, whose anomalies the log
    sink lets through as well."""

    user_emails: tuple[EmailAddress, ...] = ()
    """Addresses, such as name@example.com, that Vertex AI mails when a feature drifts."""

    training_pipeline: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")] = "pipeline-train"
    """Name of the training pipeline: at most 63 lower-case letters, digits or hyphens, a letter
    first."""

    trigger_topic: PubSubId = DEFAULT_TRIGGER_TOPIC
    """Pub/Sub topic that the log sink publishes drift anomalies to: 3 to 255 letters, digits or any
    of . _ ~ + % -, a letter first and not goog."""

    trigger_subscription: PubSubId = _derived("trigger_topic", "{}-subscription".format)
    """Subscription that the sensor pulls, named as trigger_topic is; by default
    <trigger_topic>-subscription."""

    dead_letter_topic: PubSubId = _derived("trigger_topic", "{}-dead-letter".format)
    """Topic for rejected messages, named as trigger_topic is; by default
    <trigger_topic>-dead-letter."""

    dead_letter_subscription: PubSubId = _derived("dead_letter_topic", "{}-subscription".format)
    """Subscription that keeps rejected messages, named as trigger_topic is; by default
    <dead_letter_topic>-subscription."""

    monitoring_window: WindowLength = "day"
    """What is monitored as one: a day, a week from Monday on, or a calendar month."""

    time_zone: TimeZone = "UTC"
    """Time zone in which days begin at midnight: a name of the IANA database such as
    Europe/Zurich."""

    schedule: MonitoringSchedule = Field(default_factory=MonitoringSchedule)
    """When Dagster monitors the windows that have ended."""

    retrain_policy: RetrainPolicy = Field(default_factory=RetrainPolicy, validate_default=True)
    """When real drift may start a training."""

    promotion: PromotionPolicy = Field(default_factory=PromotionPolicy)
    """What a challenger may lose against the champion and still replace it."""

    maximum_training_days: Annotated[PositiveCount, Field(le=3_660)] = _derived(
        "monitoring_window", lambda length: {"day": 28, "week": 56, "month": 184}[length]
    )
    """Days of transactions a training uses at most, though at least the window that drifted; by
    default 28, or 8 weeks or 6 months of such windows."""

    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """How a classifier is trained, on the local platform and by the reference pipeline."""

    maximum_training_minutes: Annotated[PositiveCount, Field(le=43_200)] = 360
    """Minutes after which a training run counts as failed."""

    expected_training_interval_days: Annotated[PositiveCount, Field(le=3_660)] | None = None
    """Days after which people are notified, once an interval, that Dagster ran no training; by
    default nobody is."""

    message_grace_minutes: Annotated[PositiveCount, Field(le=10_080)] = 60
    """Minutes after which drift that was read from the platform, but of which no message came,
    makes a check fail."""

    start_date: CalendarDay = date(2026, 1, 1)
    """First day that is monitored; of weeks and months the first that begins then or later."""

    empty_windows: Literal["allowed", "weekends"] = "weekends"
    """Which windows may have no transactions. With weekends, a weekday after the end of the data is
    late and an error; with allowed, any window without rows is recorded as such and fails
    nothing."""

    data_quality: DataQuality = Field(default_factory=DataQuality)
    """Which faults of a window's data warn beside drift, and never train."""

    labels: LabelPolicy | None = None
    """Which labels a drifted window must have before it is trained on; by default it may lack
    some. Rows without a label are never learned from."""

    label_column: FeatureName = _derived("labels", lambda labels: _column_of(labels) or "category")
    """Column that the classifier learns to predict; by default category, or labels.column."""

    date_column: FeatureName = Field(default="date", validate_default=True)
    """Column with the booking day or month, in data not split by window."""

    date_column_format: DateColumnFormat = "date"
    """What date_column holds: date for a DATE, TIMESTAMP or text of a day, yyyymm for a month as
    the whole number 202608, which month windows alone can be chosen by."""

    transactions: Annotated[str, Field(min_length=1)] | None = None
    """Your own Parquet or CSV in place of generated transactions on the local platform: a directory
    of files named by day, week or month, a path with {date}, {yyyymm} or another placeholder of the
    window, or files with a date column. What is not set of monitoring_window, start_date and
    date_column is taken from them."""

    csv: CsvFormat = Field(default_factory=CsvFormat)
    """Form of the CSV files that transactions names: separator, decimal mark, encoding, dates."""

    notifications: NotificationConfig | None = None
    """Whom Dagster itself notifies of drift and of trainings, in Slack or by e-mail."""

    vertex: VertexConfig = Field(default_factory=VertexConfig)
    """Data and training pipeline on Vertex AI; only the gcp platform reads it."""

    @field_validator("drift_thresholds")
    @classmethod
    def _resolve_thresholds(
        cls, thresholds: dict[str, float], info: ValidationInfo
    ) -> dict[str, float]:
        """Give each feature of feature_types that has no threshold the default of its kind."""
        # Without those that are wrong in themselves.
        known = info.data
        defaults = known.get("default_drift_thresholds")
        kinds = known.get("feature_types", {}) if defaults else {}
        found = {name: getattr(defaults, kind) for name, kind in kinds.items()} | thresholds
        resolved = {name: found[name] for name in [*thresholds, *found] if found[name] is not None}
        if without := ", ".join(sorted(found.keys() - resolved.keys())):
            problem = "has no threshold of {names}, which feature_types names"
            fix = "add it, or a default of its kind (default_drift_thresholds), or remove the type"
            raise fault(problem, fix, names=without)
        prediction = known.get("prediction_drift")
        names = {name.casefold() for name in resolved}
        if prediction is not None and prediction.column.casefold() in names:
            problem = "names {column}, which is the column of prediction_drift"
            fix = "monitor it as one of the two: remove it, or prediction_drift"
            raise fault(problem, fix, column=prediction.column)
        is_sound = {"feature_types", "default_drift_thresholds", "prediction_drift"} <= known.keys()
        if not resolved and prediction is None and is_sound:
            fix = 'add a feature and its threshold, as {"type": 0.3}, or prediction_drift'
            raise fault("is empty, and nothing else is monitored", fix)
        return resolved

    @field_validator("retrain_policy")
    @classmethod
    def _can_be_met(cls, policy: RetrainPolicy, info: ValidationInfo) -> RetrainPolicy:
        if not {"drift_thresholds", "prediction_drift"} <= info.data.keys():
            return policy
        prediction, features = info.data["prediction_drift"], len(info.data["drift_thresholds"])
        if "prediction" in policy.objectives and prediction is None:
            problem = "has the objective prediction, but predictions are not monitored"
            raise fault(problem, "add prediction_drift, or remove prediction from objectives")
        if "feature" in policy.objectives and not features:
            problem = "has the objective feature, but no feature is monitored"
            raise fault(problem, 'write "objectives": ["prediction"], or add drift_thresholds')
        training = features * ("feature" in policy.objectives)
        training += "prediction" in policy.objectives
        if training < policy.minimum_anomalous_features:
            problem = "asks for more than the {training} that may train, so nothing could"
            fix = f"write minimum_anomalous_features of {training} or less"
            raise fault(problem, fix, training=training)
        return policy

    @field_validator("label_column")
    @classmethod
    def _is_the_column_of_labels(cls, name: str, info: ValidationInfo) -> str:
        if (column := _column_of(info.data.get("labels"))) not in (None, name):
            problem = "is not {column}, the column of labels"
            raise fault(problem, "name the column once, as one of the two", column=column)
        return name

    @field_validator("further_model_monitor_ids")
    @classmethod
    def _are_further(cls, monitors: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len({*monitors, info.data.get("model_monitor_id")}) <= len(monitors):
            raise fault("names a monitor twice, or model_monitor_id as well", "name each once")
        return monitors

    @field_validator("dead_letter_topic", "dead_letter_subscription", "date_column")
    @classmethod
    def _is_another(cls, name: str, info: ValidationInfo) -> str:
        other, reason = _DIFFERENT[str(info.field_name)]
        if name == info.data.get(other):
            problem, fix = "is {other} as well: {reason}", f"name another than {other}"
            raise fault(problem, fix, other=other, reason=reason)
        return name

    @field_validator("date_column_format")
    @classmethod
    def _tells_the_window(cls, form: DateColumnFormat, info: ValidationInfo) -> DateColumnFormat:
        length = info.data.get("monitoring_window", "month")
        if form == "yyyymm" and length != "month":
            fix = "set monitoring_window to month, or name a column with the day"
            raise fault("tells months, but monitoring_window is {length}", fix, length=length)
        return form

    @property
    def windows(self) -> WindowCalendar:
        """The windows that are monitored."""
        return WindowCalendar(self.monitoring_window, self.time_zone)

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each monitored column: of the features, and last of the predictions."""
        prediction = self.prediction_drift
        of_prediction = {prediction.column: prediction.threshold} if prediction else {}
        return {**self.drift_thresholds, **of_prediction}

    def objective(self, column: str) -> Objective:
        """Return what a monitored column is: a feature, or the model's prediction."""
        prediction = self.prediction_drift
        return "prediction" if prediction and column == prediction.column else "feature"

    def feature_type(self, feature: str) -> FeatureType | None:
        """Return how a feature is measured, or None where its column's type decides.

        Categorical is measured by categorical_metric, numerical by the Jensen-Shannon divergence.
        """
        default = "categorical" if feature in CATEGORICAL_BY_DEFAULT else None
        return self.feature_types.get(feature, default)


def parse_config(
    text: str,
    source: str,
    asset_prefix: str | None = None,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> MonitoringConfig:
    """Read a configuration from JSON text, with an asset prefix where the text sets none.

    The overrides take the place of what the text sets. A ConfigError lists every fault with its
    path, value and fix; `source` names the text in it.
    """
    document = {**_read_object(text, source), **overrides}
    if isinstance(document.get("$schema"), str):
        del document["$schema"]
    config, faults = None, []
    try:
        config = MonitoringConfig.model_validate({"asset_prefix": asset_prefix, **document})
    except ValidationError as error:
        faults = [fault for _, fault in faults_from_pydantic(error, MonitoringConfig)]
    # What two sections say together is looked at though one of them has faults of its own.
    wrong = {fault.path for fault in faults}
    faults += [fault for fault in data_source_faults(document) if fault.path not in wrong]
    if config is None or faults:
        raise ConfigError(source, faults)
    return config


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(key for key, _ in pairs)
    return {key: value if counts[key] == 1 else Repeated(value) for key, value in pairs}


def _read_object(text: str, source: str) -> dict[str, Any]:
    """Read a JSON object; NaN and Infinity are numbers, so that their setting can be named."""
    problem, fix = "is not a JSON object", "write { ... } with the keys"
    try:
        document = json.loads(text, object_pairs_hook=_object)
        if isinstance(document, dict):
            return document
    except (ValueError, RecursionError) as error:
        problem, fix = f"is not valid JSON: {error}", "correct the syntax"
    raise ConfigError(source, [ConfigFault("(file)", MISSING, problem, fix)])


def load_config(
    path: Path,
    asset_prefix: str | None = None,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> MonitoringConfig:
    """Read a configuration file, as `parse_config`."""
    try:
        return parse_config(path.read_text(encoding="utf-8"), str(path), asset_prefix, overrides)
    except UnicodeDecodeError as error:
        problem, fix = f"is not UTF-8 at byte {error.start}", "save it as UTF-8"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        fix = "create it, or name another with TRANSAK_DRIFT_CONFIG"
    raise ConfigError(str(path), [ConfigFault("(file)", MISSING, problem, fix)])


def config_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `monitoring_config.json`, for editors."""
    document = json.dumps(MonitoringConfig.model_json_schema(mode="validation"))
    schema: dict[str, Any] = json.loads(re.sub(r"(\\n)+", " ", document))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for section in (schema, *schema["$defs"].values()):
        for field in section["properties"].values():
            for pattern, value in field.pop("patternProperties", {}).items():
                # Otherwise a key that does not match the pattern would not be checked at all.
                field.setdefault("propertyNames", {})["pattern"] = pattern
                field["additionalProperties"] = value
    schema["properties"]["$schema"] = {
        "type": "string",
        "description": "Path of this schema, so that editors complete the file.",
    }
    return schema
