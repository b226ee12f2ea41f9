"""The kinds of values a configuration holds; a form of text has words for who gets it wrong."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

TEXT_FORMS: dict[str, str] = {}
"""What to write, by the pattern that a text has to match: all that an error of pydantic names."""


class Section(BaseModel):
    """An object of the configuration: unknown keys are refused, a text below a key describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def text(pattern: str, fix: str, **limits: Any) -> Any:
    """Constrain a text to a pattern that is explained in words.

    Args:
        pattern: regular expression of the whole text. Pydantic's default engine reads it, in which
            $ is the end of the text and not also before a last newline.
        fix: what to write instead.
        limits: `min_length` and `max_length`, reported by themselves.

    Returns:
        The constraint, for `Annotated`.
    """
    TEXT_FORMS[pattern] = fix
    return Field(pattern=pattern, **limits)


# A monitor that was made without an id has a number, as Vertex AI gives it.
MODEL_MONITOR_ID = r"^([a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,18})$"
_VISIBLE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
_VISIBLE_FIX = "write a name in visible characters on one line"
_PUBSUB_FIX = (
    "write 3 to 255 letters, digits or any of . _ ~ + % -, a letter first and not goog, "
    "e.g. ps-transak-i1-train-trigger"
)


def _not_reserved(name: str) -> str:
    if name.lower().startswith("goog"):
        raise PydanticCustomError(
            "reserved",
            "starts with goog, which Pub/Sub reserves",
            {"fix": _PUBSUB_FIX},
        )
    return name


def _calendar_day(value: Any) -> Any:
    # pydantic alone would also take seconds since 1970 and whole timestamps for a day.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    fix = "write a day as YYYY-MM-DD in quotes, e.g. 2026-01-01"
    raise PydanticCustomError("calendar_day", "is not a day of the calendar", {"fix": fix})


ProjectId = Annotated[
    str,
    text(
        r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$",
        "write 6 to 30 lower-case letters, digits or inner hyphens, a letter first, "
        "e.g. af-finanzen",
    ),
]
ProjectNumber = Annotated[
    str,
    text(
        r"^[1-9][0-9]{0,18}$",
        'write at most 19 digits in quotes, no zero first, e.g. "123456789012"',
    ),
]
Location = Annotated[
    str, text(r"^[a-z]+-[a-z]+[0-9]+$", "write a region in lower case, e.g. europe-west6")
]
ModelMonitorId = Annotated[
    str,
    text(
        MODEL_MONITOR_ID,
        "write at most 63 lower-case letters, digits or inner hyphens, a letter first, "
        "e.g. transak-i1-data-drift-monitor, or the number of one that exists",
        max_length=63,
    ),
]
ModelAlias = Annotated[
    str,
    text(
        r"^[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]$",
        "write 2 to 128 letters, digits or inner hyphens, a lower-case letter first and such a "
        "letter or a digit last, e.g. default or production; not the version's number",
    ),
]
PubSubId = Annotated[
    str,
    text(r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", _PUBSUB_FIX, max_length=255),
    AfterValidator(_not_reserved),
    Field(json_schema_extra={"not": {"pattern": "^[Gg][Oo][Oo][Gg]"}}),
]
PipelineName = Annotated[
    str,
    text(
        r"^[a-z][a-z0-9-]{0,62}$",
        "write at most 63 lower-case letters, digits or hyphens, a letter first, "
        "e.g. pipeline-train",
    ),
]
NotificationChannel = Annotated[
    str,
    text(
        r"^projects/[^/\s]+/notificationChannels/[^/\s]+$",
        "write projects/<project>/notificationChannels/<id>, see "
        "`gcloud beta monitoring channels list`",
    ),
]
EmailAddress = Annotated[
    str, text(r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$", "write an address such as name@example.com")
]
AssetPrefix = Annotated[
    str,
    text(
        r"^[a-z][a-z0-9_]{0,39}$",
        "write at most 40 lower-case letters, digits or underscores, a letter first, "
        "e.g. transak_i2",
    ),
]
DisplayName = Annotated[str, text(_VISIBLE, _VISIBLE_FIX, min_length=1, max_length=128)]
FeatureName = Annotated[str, text(_VISIBLE, _VISIBLE_FIX, min_length=1, max_length=256)]
Threshold = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False, strict=True)]
CalendarDay = Annotated[date, BeforeValidator(_calendar_day)]
