"""The kinds of text a configuration holds, each with a rule that a person can read."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class TextForm:
    """A form of text, in words.

    Args:
        problem: what is wrong with a text of another form, as the end of a sentence.
        fix: what to write instead.
        is_ascii: whether only ASCII characters are allowed, so that another one is worth naming.
    """

    problem: str
    fix: str
    is_ascii: bool = True

    def describe_problem(self, value: Any) -> str:
        """Tell what is wrong with a value, naming the first character that only looks right."""
        foreign = (
            next((c for c in value if not c.isascii()), None) if isinstance(value, str) else None
        )
        if self.is_ascii and foreign is not None:
            name = unicodedata.name(foreign, f"U+{ord(foreign):04X}")
            return f"{self.problem}: it contains the character {name}"
        return self.problem


PROJECT_ID = r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$"
PROJECT_NUMBER = r"^[1-9][0-9]{0,18}$"
LOCATION = r"^[a-z]+-[a-z]+[0-9]+$"
# A monitor that was made without an id has a number, as Vertex AI gives it.
MODEL_MONITOR_ID = r"^([a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,18})$"
MODEL_ALIAS = r"^[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]$"
PUBSUB_ID = r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$"
PIPELINE_NAME = r"^[a-z][a-z0-9-]{0,62}$"
NOTIFICATION_CHANNEL = r"^projects/[^/\s]+/notificationChannels/[^/\s]+$"
EMAIL_ADDRESS = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
# A table may hold letters, digits, _ and -, and the placeholders of a day or of a model version.
_TABLE = r"bq://[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]+\.[A-Za-z0-9_{}:%-]+"
_BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_FILES = rf"{_BUCKET}/[^\s]+\.(csv|jsonl|tfrecord)"
DATASET_ADDRESS = rf"^({_TABLE}|{_FILES})$"
PREDICTION_DATASET = rf"^({_TABLE}|{_FILES}|batchPredictionJobs/[^/\x00-\x1f]+)$"
GCS_DIRECTORY = rf"^{_BUCKET}(/[^\s]*)?$"
# Only Artifact Registry may be asked over https, since it is sent an access token.
_ARTIFACT_REGISTRY = r"https://[a-z0-9-]+-kfp\.pkg\.dev/[^\s]+"
PIPELINE_TEMPLATE = rf"^({_BUCKET}/[^\s]+|{_ARTIFACT_REGISTRY}|[^:\x00-\x1f]+\.(ya?ml|json))$"
NETWORK = r"^projects/[^/\s]+/global/networks/[^/\s]+$"
PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
ASSET_PREFIX = r"^[a-z][a-z0-9_]{0,39}$"
LABEL_KEY = r"^[a-z][a-z0-9_-]{0,62}$"
LABEL_VALUE = r"^[a-z0-9_-]{0,63}$"
VISIBLE_NAME = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"

_PUBSUB_FIX = (
    "write 3 to 255 letters, digits or any of . _ ~ + % - that start with a letter and not with "
    "goog, e.g. ps-transak-i1-train-trigger"
)

TEXT_FORMS = {
    PROJECT_ID: TextForm(
        "is not a Google Cloud project id",
        "write 6 to 30 lower-case letters, digits or hyphens that start with a letter and do not "
        "end with a hyphen, e.g. af-finanzen",
    ),
    PROJECT_NUMBER: TextForm(
        "is not a Google Cloud project number",
        'write at most 19 digits in quotes, without a leading zero, e.g. "123456789012"',
    ),
    LOCATION: TextForm(
        "is not a Google Cloud region", "write a region in lower case, e.g. europe-west6"
    ),
    MODEL_MONITOR_ID: TextForm(
        "is not an id of a ModelMonitor",
        "write at most 63 lower-case letters, digits or hyphens that start with a letter and do "
        "not end with a hyphen, e.g. transak-i1-data-drift-monitor, or the number of one that "
        "exists",
    ),
    MODEL_ALIAS: TextForm(
        "is not an alias of a model version",
        "write 2 to 128 letters, digits or hyphens that start with a lower-case letter and end "
        "with one or with a digit, e.g. default or production; not the version's number",
    ),
    PUBSUB_ID: TextForm("is not a name Pub/Sub allows", _PUBSUB_FIX),
    PIPELINE_NAME: TextForm(
        "is not a name of a pipeline",
        "write at most 63 lower-case letters, digits or hyphens that start with a letter, "
        "e.g. pipeline-train",
    ),
    NOTIFICATION_CHANNEL: TextForm(
        "is not a resource name of a notification channel",
        "write projects/<project>/notificationChannels/<id> as "
        "`gcloud beta monitoring channels list` shows it",
        is_ascii=False,
    ),
    EMAIL_ADDRESS: TextForm(
        "is not an e-mail address", "write an address such as name@example.com", is_ascii=False
    ),
    DATASET_ADDRESS: TextForm(
        "is not the address of a dataset",
        "write bq://project.dataset.table, or gs://bucket/path with the ending .csv, .jsonl or "
        ".tfrecord",
        is_ascii=False,
    ),
    PREDICTION_DATASET: TextForm(
        "is not the address of a dataset",
        "write bq://project.dataset.table, gs://bucket/path with the ending .csv, .jsonl or "
        ".tfrecord, or batchPredictionJobs/<display name>",
        is_ascii=False,
    ),
    GCS_DIRECTORY: TextForm(
        "is not a directory of Cloud Storage", "write gs://bucket/path", is_ascii=False
    ),
    PIPELINE_TEMPLATE: TextForm(
        "is not a compiled pipeline",
        "write a .yaml or .json file, gs://bucket/path, or "
        "https://<region>-kfp.pkg.dev/<project>/<repository>/<package>/<version>",
        is_ascii=False,
    ),
    NETWORK: TextForm(
        "is not a network", "write projects/<number>/global/networks/<name>", is_ascii=False
    ),
    PARAMETER_NAME: TextForm(
        "is not a parameter of a pipeline", "write its name as the pipeline's function has it"
    ),
    ASSET_PREFIX: TextForm(
        "is not a prefix of assets",
        "write at most 40 lower-case letters, digits or underscores that start with a letter, "
        "e.g. transak_i2",
    ),
    LABEL_KEY: TextForm(
        "is not a key of a label",
        "write at most 63 lower-case letters, digits, _ or - that start with a letter",
    ),
    LABEL_VALUE: TextForm(
        "is not a value of a label", "write at most 63 lower-case letters, digits, _ or -"
    ),
    VISIBLE_NAME: TextForm(
        "is blank or contains a control character",
        "write a name in visible characters on one line",
        is_ascii=False,
    ),
}


def _not_reserved(name: str) -> str:
    if name.lower().startswith("goog"):
        raise PydanticCustomError(
            "reserved_prefix", "starts with goog, which Pub/Sub reserves", {"fix": _PUBSUB_FIX}
        )
    return name


_DAY_FIX = "write a day as YYYY-MM-DD in quotes, e.g. 2026-01-01"


def _calendar_day(value: Any) -> Any:
    # pydantic alone would also take seconds since 1970 and whole timestamps for a day.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("calendar_day", "is not a day of the calendar", {"fix": _DAY_FIX})


# Pydantic's default engine, in which $ is the end of the text and not also before a last newline.
ProjectId = Annotated[str, StringConstraints(pattern=PROJECT_ID)]
ProjectNumber = Annotated[str, StringConstraints(pattern=PROJECT_NUMBER)]
Location = Annotated[str, StringConstraints(pattern=LOCATION)]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=VISIBLE_NAME)]
ModelMonitorId = Annotated[str, StringConstraints(pattern=MODEL_MONITOR_ID, max_length=63)]
ModelAlias = Annotated[str, StringConstraints(pattern=MODEL_ALIAS, max_length=128)]
PubSubId = Annotated[
    str,
    StringConstraints(pattern=PUBSUB_ID, max_length=255),
    AfterValidator(_not_reserved),
    Field(json_schema_extra={"not": {"pattern": "^[Gg][Oo][Oo][Gg]"}}),
]
PipelineName = Annotated[str, StringConstraints(pattern=PIPELINE_NAME, max_length=63)]
NotificationChannel = Annotated[str, StringConstraints(pattern=NOTIFICATION_CHANNEL)]
EmailAddress = Annotated[str, StringConstraints(pattern=EMAIL_ADDRESS)]
FeatureName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=VISIBLE_NAME)]
AssetPrefix = Annotated[str, StringConstraints(pattern=ASSET_PREFIX)]
Threshold = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False, strict=True)]
CalendarDay = Annotated[date, BeforeValidator(_calendar_day)]
