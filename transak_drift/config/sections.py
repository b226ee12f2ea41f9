"""Sections of a configuration (CSV files, notifications, Vertex AI), and what they hold."""

from __future__ import annotations

import itertools
import re
from datetime import date, datetime
from typing import Annotated, Any, Literal, LiteralString
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from transak_drift.config.monitoring_window import MAX_DAY, MIN_DAY


class Section(BaseModel):
    """An object of the configuration: unknown keys are refused, a text below a key describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def fault(problem: LiteralString, fix: str, **values: object) -> PydanticCustomError:
    """Return the error of a validator; the values are filled into the problem."""
    return PydanticCustomError("wrong_value", problem, {"fix": fix, **values})


def _not_reserved(name: str) -> str:
    if name.lower().startswith("goog"):
        raise fault("starts with goog, which Pub/Sub reserves", "begin it otherwise")
    return name


def _calendar_day(value: Any) -> Any:
    # pydantic alone would also take seconds since 1970 and whole timestamps for a day.
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    if is_day or (isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        return value
    raise fault("is not a day", "write a day as YYYY-MM-DD in quotes, e.g. 2026-01-01")


def _monitorable(day: date) -> date:
    if not MIN_DAY <= day <= MAX_DAY:
        years = f"{MIN_DAY.year} to {MAX_DAY.year}"
        raise fault("is not of the years {years}", "write a day of them", years=years)
    return day


# In patterns, which pydantic's default engine reads, $ is the end of the text and not also before a
# last newline. A monitor that was made without an id has a number from Vertex AI.
MODEL_MONITOR_ID = r"^([a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,18})$"
_VISIBLE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"

ModelMonitorId = Annotated[str, Field(pattern=MODEL_MONITOR_ID, max_length=63)]
PubSubId = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", max_length=255),
    AfterValidator(_not_reserved),
    Field(json_schema_extra={"not": {"pattern": "^[Gg][Oo][Oo][Gg]"}}),
]
NotificationChannel = Annotated[
    str, Field(pattern=r"^projects/[^/\s]+/notificationChannels/[^/\s]+$")
]
EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$")]
DisplayName = Annotated[str, Field(pattern=_VISIBLE, min_length=1, max_length=128)]
FeatureName = Annotated[str, Field(pattern=_VISIBLE, min_length=1, max_length=256)]
PositiveCount = Annotated[int, Field(ge=1, strict=True)]
Threshold = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False, strict=True)]
CalendarDay = Annotated[date, BeforeValidator(_calendar_day), AfterValidator(_monitorable)]
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"

SlackChannelName = Annotated[str, Field(pattern=r"^(#[^\s#@<>&,.:|A-Z]{1,80}|[CG][A-Z0-9]{8,20})$")]
# One plain address: several in one text, or a name beside it, would be other recipients than it
# seems.
Mailbox = Annotated[str, Field(pattern=rf"^{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")]

# A table may hold letters, digits, _ and -, and the placeholders of a window or a model version.
_TABLE = r"bq://[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]+\.[A-Za-z0-9_{}:%-]+"
_BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_FILES = rf"{_BUCKET}/[^\s]+\.(csv|jsonl|tfrecord)"
_PREDICTIONS = rf"^({_TABLE}|{_FILES}|batchPredictionJobs/[^/\x00-\x1f]+)$"
# Only Artifact Registry may be asked over https, since it is sent an access token.
_ARTIFACT_REGISTRY = r"https://[a-z0-9-]+-kfp\.pkg\.dev/[^\s]+"
_TEMPLATE = rf"^({_BUCKET}/[^\s]+|{_ARTIFACT_REGISTRY}|[^:\x00-\x1f]+\.(ya?ml|json))$"

PREDICTION_COLUMN = "predicted_category"

GcsDirectory = Annotated[str, Field(pattern=rf"^{_BUCKET}(/[^\s]*)?$")]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
LabelKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
LabelValue = Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]
ParameterValue = str | bool | int | float


def _known_encoding(name: str) -> str:
    try:
        # Python also has codecs that turn bytes into bytes; those are no encodings of text.
        "".encode(name)
    except (LookupError, ValueError):
        fix = "write utf-8, utf-16, windows-1252, iso-8859-1 or another that Python knows"
        raise fault("is no encoding", fix) from None
    return name


def _names_a_day(text: str) -> str:
    codes = {code for percent, code in itertools.pairwise(text) if percent == "%"}
    if "d" not in codes or not codes & set("mbB") or not codes & set("yY"):
        fix = "write it with %d, %m and %Y, such as %d.%m.%Y for 20.11.2026"
        raise fault("does not name day, month and year", fix)
    return text


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fix = "write a name of the IANA database, such as Europe/Zurich or UTC"
        raise fault("is no known time zone", fix) from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_time_zone)]


class DefaultDriftThresholds(Section):
    """Thresholds of the features in feature_types that have none of their own."""

    categorical: Threshold | None = None
    """Greatest allowed distance of a categorical feature, in (0, 1]."""

    numerical: Threshold | None = None
    """Greatest allowed distance of a numerical feature, in (0, 1]."""


class PredictionDrift(Section):
    """Drift of what the model answers: the distribution of its predicted label."""

    column: FeatureName = PREDICTION_COLUMN
    """Column with the predicted label. The local platform writes it; on gcp the training dataset
    needs it as well as the predictions."""

    threshold: Threshold
    """Greatest allowed distance, in (0, 1], measured as of a categorical feature."""


class CsvFormat(Section):
    """The form of CSV files: RFC 4180 in UTF-8 but for what is set."""

    separator: Literal[",", ";", "\t", "|"] | None = None
    """What separates the fields; by default recognised by the header line."""

    decimal: Literal[".", ","] = "."
    """Decimal mark of numbers. With a comma, points may group the digits before it: 1.234,50."""

    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    """Encoding of the text, e.g. windows-1252 or utf-16."""

    date_format: Annotated[str, AfterValidator(_names_a_day)] | None = None
    """Form of the days in date_column, e.g. %d.%m.%Y for 20.11.2026; by default ISO 8601."""


class TrainingConfig(Section):
    """How the local platform and the reference pipeline train a classifier."""

    time_budget_seconds: Annotated[PositiveCount, Field(le=86_400)] = 5
    """Seconds of two cores for the search of hyperparameters: with more, they are tried on more
    rows. How many is decided beforehand by an estimate, so that the same rows, seed and budget give
    the same model; where the processor time runs out all the same, the search stops, and the
    version says so."""

    maximum_rows: Annotated[int, Field(ge=1_000, le=100_000_000, strict=True)] = 60_000
    """Rows that a training reads at most; of more, a sample is drawn by the seed, up to half of it
    from the newest window."""


class SlackNotification(Section):
    """Messages in a channel of Slack."""

    channel: SlackChannelName
    """Channel that the bot is a member of: #name in lower case, or the id from its details."""


class EmailNotification(Section):
    """E-mails."""

    sender: Mailbox
    """Address that the e-mails come from, such as name@example.com, without a name beside it."""

    recipients: tuple[Mailbox, ...] = Field(min_length=1, max_length=50)
    """Addresses that the e-mails go to, each such as name@example.com."""


class NotificationConfig(Section):
    """Whom Dagster notifies of a model's drift events and of what became of them.

    Secrets (token, login) come from environment variables alone.
    """

    slack: SlackNotification | None = None
    """Channel of Slack; its token is TRANSAK_DRIFT_SLACK_TOKEN."""

    email: EmailNotification | None = None
    """E-mails; their server is TRANSAK_DRIFT_SMTP_HOST."""

    @model_validator(mode="after")
    def _names_somebody(self) -> NotificationConfig:
        if self.slack is None and self.email is None:
            raise fault("names nobody", "add slack or email, or remove the key")
        return self


_Excess = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False, strict=True)]


class DataQuality(Section):
    """Which faults of a window's data warn beside drift, as asset checks that train nothing."""

    maximum_missing_share: _Excess | None = 0.05
    """By how much the share of missing values of a feature may exceed the baseline's, in [0, 1);
    null switches the check missing_values off."""

    maximum_unseen_share: _Excess | None = 0.1
    """By how much the share of values that the baseline lacks (of numbers: outside its range) may
    exceed what the baseline's own rare values let one expect, in [0, 1); null switches the check
    unseen_values off."""

    row_count_factor: (
        Annotated[float, Field(gt=1.0, le=1_000_000, allow_inf_nan=False, strict=True)] | None
    ) = 3.0
    """By what factor the rows may be above or below the median of the windows before, of which
    three must have rows; of days, Saturdays and Sundays are compared with each other; null switches
    the check row_count off."""

    column_types: Annotated[bool, Field(strict=True)] = True
    """Warn of a column whose type is another than in the baseline; false switches the check
    column_types off."""


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise fault("names {twice} twice", "name each once", twice=", ".join(twice))
    return names


_Loss = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False, strict=True)]


class PromotionPolicy(Section):
    """What a challenger may lose against the champion on held-out rows, and still replace it.

    Both are judged on historical rows, from windows before the drift, and on recent ones, from the
    window that drifted. A loss counts once the whole 95 % interval of it is greater than allowed.
    """

    maximum_loss: _Loss = 0.02
    """By how much macro F1 may be lower, on either set, in [0, 1)."""

    maximum_class_loss: _Loss = 0.1
    """By how much the F1 of any one class may be lower, on either set, in [0, 1)."""

    minimum_rows: PositiveCount = 10
    """Held-out rows that a set, or a class in it, must have for a loss to count."""


class LabelPolicy(Section):
    """Which labels the rows of the drifted window must have, so that it may be trained on.

    Until then its drift event waits, and trains by itself once they are there.
    """

    column: FeatureName | None = None
    """Column with the labels; by default label_column, which must be the same where both are
    set."""

    expected: (
        Annotated[
            tuple[FeatureName, ...],
            Field(min_length=1, json_schema_extra={"uniqueItems": True}),
            AfterValidator(_each_once),
        ]
        | None
    ) = None
    """Classes that a label may be; by default those that the champion has learned."""

    minimum_per_class: Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)] = 0
    """Labelled rows that the window must have of each expected class; with 0 a class may be
    absent."""

    minimum_share: Threshold = 0.95
    """Share of the window's rows that must have a label, in (0, 1]."""


def _scalar(value: Any) -> Any:
    # Otherwise pydantic reports a wrong value once for each type that it is not.
    if isinstance(value, ParameterValue):
        return value
    fix = "write text in quotes, a number, true or false"
    raise fault("is no single value", fix)


class VertexConfig(Section):
    """Data and pipeline of the monitored model on Vertex AI.

    A configuration of the local platform needs no key of it; a step of the gcp platform asks for
    what it cannot do without.
    """

    training_dataset: Annotated[str, Field(pattern=rf"^({_TABLE}|{_FILES})$")] | None = None
    """Baseline: the data that the model was trained on, as bq://project.dataset.table or
    gs://bucket/path with the ending .csv, .jsonl or .tfrecord. {model_version} stands for the
    version that predicts, so that each version has its own baseline."""

    training_query: Annotated[str, Field(min_length=1)] | None = None
    """Baseline by a SELECT in BigQuery's standard SQL, in place of training_dataset. In it
    {model_version} stands for the version that predicts, and {first_day}, {last_day} (YYYY-MM-DD)
    and {yyyymm} for the days that it was trained on."""

    prediction_dataset: Annotated[str, Field(pattern=_PREDICTIONS)] | None = None
    """What is monitored in each window: bq://project.dataset.table, gs://bucket/path with the
    ending .csv, .jsonl or .tfrecord, or batchPredictionJobs/<display name>. {date} stands for the
    day, {date:%Y%m} for day, week or month in another form, {first_day}, {last_day} and {yyyymm}
    for those of the window; a table without one has its rows chosen by date_column."""

    prediction_query: Annotated[str, Field(min_length=1)] | None = None
    """What is monitored in each window by a SELECT in BigQuery's standard SQL, in place of
    prediction_dataset. In it {first_day} and {last_day} (YYYY-MM-DD) or {yyyymm} stand for the
    window."""

    monitoring_output: GcsDirectory | None = None
    """Directory gs://bucket/path for statistics and report pages; by default Vertex AI makes one
    for the statistics, and there are no pages."""

    pipeline_template: Annotated[str, Field(pattern=_TEMPLATE)] | None = None
    """Compiled training pipeline: a local .yaml or .json file, gs://bucket/path, or
    https://<region>-kfp.pkg.dev/<project>/<repository>/<package>/<version>."""

    pipeline_root: GcsDirectory | None = None
    """Directory gs://bucket/path for what the pipeline puts out."""

    pipeline_parameters: dict[
        ParameterName, Annotated[ParameterValue, BeforeValidator(_scalar)]
    ] = Field(default_factory=dict)
    """Parameters of the pipeline. In text {model_name}, {drift_event}, {first_day} and {last_day}
    stand for the model, the drift event and the days to train on."""

    pipeline_service_account: EmailAddress | None = None
    """Service account that the pipeline runs as, such as name@example.com."""

    pipeline_network: (
        Annotated[str, Field(pattern=r"^projects/[^/\s]+/global/networks/[^/\s]+$")] | None
    ) = None
    """Network of the pipeline: projects/<number>/global/networks/<name>."""

    pipeline_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels of the PipelineJob, e.g. for costs; names and values are at most 63 lower-case
    letters, digits, _ or -, a name begins with a letter."""
