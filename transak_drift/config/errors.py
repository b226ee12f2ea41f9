"""Faults of a configuration, reported so that a person can fix all of them at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticUndefined

MISSING: Final = PydanticUndefined
"""The value of a fault whose key is not there."""

_MAX_SHOWN_CHARACTERS = 80
# What is wrong, by the kind of an error of pydantic, whose own words are about Python.
_PROBLEMS = {
    "missing": "is missing",
    "extra_forbidden": "is an unknown key",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "has the wrong form",
    "string_unicode": "contains half of a surrogate pair, which is no character",
    "string_type": "is not text",
    "greater_than": "is not greater than {gt:g}",
    "greater_than_equal": "is less than {ge:g}",
    "less_than_equal": "is greater than {le:g}",
    "finite_number": "is not a finite number",
    "too_short": "is empty",
    "bool_type": "is neither true nor false",
    "float_type": "is not a number",
    "int_type": "is not a whole number",
    "tuple_type": "is not a list",
    "dict_type": "is not an object",
    "model_type": "is not an object",
    "literal_error": "is not {expected}",
    "date_from_datetime_parsing": "is not a day of the calendar",
}


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault: its dotted path, the value there or `MISSING`, what is wrong, what to do.

    The problem is the end of a sentence that begins with the path.
    """

    path: str
    value: Any
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = "" if self.value is MISSING else f" = {_sanitize_value(self.value)}"
        return f"{self.path}{shown}: {self.problem}; fix: {self.fix}"


@dataclass(frozen=True, slots=True)
class Repeated:
    """What a key holds that an object of the text has more than once: no setting takes it."""

    last: Any


class ConfigError(ValueError):
    """A configuration that cannot be used; lists every fault and the file they stand in."""

    def __init__(self, source: str, faults: Sequence[ConfigFault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        count = f"{len(faults)} fault" + ("s" if len(faults) != 1 else "")
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{source} has {count}:\n{lines}")


def dotted_path(location: Sequence[str | int]) -> str:
    """Write the place of a value, e.g. `drift_thresholds.type` or `user_emails[0]`.

    A key that is no plain word is quoted as in JSON.
    """
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            plain = re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$-]*", part) is not None
            path += ("." if path else "") + (part if plain else _sanitize_value(part))
    return path


def faults_from_pydantic(
    error: ValidationError, model: type[BaseModel]
) -> list[tuple[ErrorDetails, ConfigFault]]:
    """Return what pydantic found, each with a fault whose fix the model's descriptions make."""
    return [
        (item, _fault(item, model))
        for item in error.errors()
        # A list whose items are all wrong counts as empty for pydantic, and what is made from other
        # values cannot be made while one is wrong.
        if (item["type"] != "too_short" or not item["input"])
        and item["type"] != "default_factory_not_called"
    ]


def _fault(item: ErrorDetails, model: type[BaseModel]) -> ConfigFault:
    location, kind, value = item["loc"], item["type"], item["input"]
    meaning, siblings = _meaning_and_siblings(location, model)
    context = item.get("ctx", {})
    problem = _PROBLEMS[kind].format(**context) if kind in _PROBLEMS else item["msg"]
    fix = context.get("fix", f"write what it means: {meaning}")
    if isinstance(value, Repeated):
        value, problem, fix = value.last, "is given more than once", "keep one"
    elif kind == "extra_forbidden":
        words = re.sub(r"[- ]", "_", str(location[-1]).strip().lower())
        near = difflib.get_close_matches(words, siblings, n=1)
        fix = f'did you mean "{near[0]}"? otherwise remove it' if near else "remove it"
    elif kind == "missing":
        value, fix = MISSING, f"add it: {meaning}"
    elif kind == "string_pattern_mismatch" and not value.isascii():
        problem += f", in ASCII {value!a}"
    # Pydantic marks a fault of a key itself by a last part of this name.
    if len(location) > 2 and location[-1] == "[key]":
        location, problem = location[:-1], f"has a key that {problem}"
    return ConfigFault(dotted_path(location), value, problem, fix)


def _meaning_and_siblings(
    location: Sequence[str | int], model: type[BaseModel]
) -> tuple[str, list[str]]:
    """Return the description of the key that a location leads into, and the keys beside its end."""
    meaning, siblings, section = "a permitted value", [], model
    for part in location:
        siblings = list(section.model_fields) if section else []
        if section is None or part not in siblings:
            break
        field = section.model_fields[str(part)]
        meaning = " ".join((field.description or meaning).split()).rstrip(".")
        kinds = (field.annotation, *get_args(field.annotation))
        section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    return meaning, siblings


def sanitize_text(text: str) -> str:
    """Escape what a terminal would not print, or would obey; lines stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


def _sanitize_value(value: Any) -> str:
    try:
        text = sanitize_text(json.dumps(value, ensure_ascii=False, default=str))
    except RecursionError:
        text = "[[[..."
    if len(text) > _MAX_SHOWN_CHARACTERS:
        return f"{text[: _MAX_SHOWN_CHARACTERS - 3]}..."
    return text
