"""Faults of a configuration, reported so that a person can fix all of them at once."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticUndefined

MAX_SHOWN_CHARACTERS = 80
MISSING: Final = PydanticUndefined
"""The value of a fault whose key is not there."""

_NOT_AN_OBJECT = ("is not an object", "write an object: {{ ... }}")
# Kind of an error of pydantic: what is wrong, and what to write where the key's description would
# not help.
_FAULTS: Mapping[str, tuple[str, str]] = {
    "string_too_short": ("is empty", ""),
    "string_too_long": ("is longer than {max_length} characters", ""),
    "string_pattern_mismatch": ("has the wrong form", ""),
    "string_unicode": (
        "contains half of a surrogate pair, which is no character",
        "write the character itself",
    ),
    "string_type": ("is not text", "write text in quotes"),
    "greater_than": ("is not greater than {gt:g}", "write a number above {gt:g} and at most 1"),
    "greater_than_equal": ("is less than {ge:g}", "write {ge:g} or more"),
    "less_than_equal": ("is greater than {le:g}", "write {le:g} or less"),
    "finite_number": ("is not a finite number", "write a number such as 0.3"),
    "too_short": ("is empty", ""),
    "bool_type": ("is neither true nor false", "write true or false without quotes"),
    "float_type": ("is not a number", "write a number without quotes, e.g. 0.3"),
    "int_type": ("is not a whole number", "write a whole number without quotes"),
    "tuple_type": ("is not a list", "write a list: [ ... ]"),
    "dict_type": _NOT_AN_OBJECT,
    "model_type": _NOT_AN_OBJECT,
    "literal_error": ("is not {expected}", "write {expected}"),
}


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault.

    Args:
        path: dotted path of the key, e.g. `drift_thresholds.type`.
        value: what the file has there, or `MISSING`.
        problem: what is wrong with it, as the end of a sentence.
        fix: what to write instead.
    """

    path: str
    value: Any
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = "" if self.value is MISSING else f" = {_shown(self.value)}"
        return f"{self.path}{shown}: {self.problem}; fix: {self.fix}"


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

    A key that is no plain word is quoted as in JSON; `(file)` is the document itself.
    """
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            plain = re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$-]*", part) is not None
            name = part if plain else _shown(part)
            path += f".{name}" if path else name
    return path or "(file)"


def faults_from_pydantic(
    error: ValidationError, model: type[BaseModel]
) -> list[tuple[ErrorDetails, ConfigFault]]:
    """Return what pydantic found, each with a fault whose fix the model's descriptions make."""
    return [
        (item, _fault(item, model))
        for item in error.errors()
        # A list whose items are all wrong counts as empty for pydantic.
        if item["type"] != "too_short" or not item["input"]
    ]


def _fault(item: ErrorDetails, model: type[BaseModel]) -> ConfigFault:
    location, kind, value = item["loc"], item["type"], item["input"]
    # Pydantic marks a fault of a key itself by a last part of this name.
    of_key = len(location) > 2 and location[-1] == "[key]"
    path = dotted_path(location[:-1] if of_key else location)
    meaning, siblings = _meaning_and_siblings(location, model)
    if kind == "extra_forbidden":
        words = re.sub(r"[- ]", "_", str(location[-1]).strip().lower())
        near = difflib.get_close_matches(words, siblings, n=1)
        fix = f'did you mean "{near[0]}"? otherwise remove it' if near else "remove it"
        return ConfigFault(path, value, "is an unknown key", fix)
    if kind == "missing":
        return ConfigFault(path, MISSING, "is missing", f"add it: {meaning}")
    context = item.get("ctx", {})
    problem, fix = _FAULTS.get(kind, (item["msg"], context.get("fix", "")))
    if kind in _FAULTS:
        problem, fix = problem.format(**context), fix.format(**context)
    if kind == "string_pattern_mismatch":
        problem += _foreign(value, context["pattern"])
    if of_key:
        return ConfigFault(path, value, f"has a key that {problem}", "name the key after a feature")
    return ConfigFault(path, value, problem, fix or f"it means: {meaning}")


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


def _foreign(value: str, pattern: str) -> str:
    """Name the first character that only looks right, where a form takes none but ASCII."""
    foreign = next((c for c in value if not c.isascii()), None) if "[^" not in pattern else None
    if foreign is None:
        return ""
    return f": it contains the character {unicodedata.name(foreign, f'U+{ord(foreign):04X}')}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    # What a terminal cannot print, or would obey, is escaped.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) > MAX_SHOWN_CHARACTERS:
        return f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
    return text
