"""What the sections of a configuration share: their base, and the values that several hold."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, LiteralString

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


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
CalendarDay = Annotated[date, BeforeValidator(_calendar_day)]
