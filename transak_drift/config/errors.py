"""Faults of a configuration, told so that a person can mend all of them at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from transak_drift.config.fields import TEXT_FORMS

_LONGEST_VALUE = 80


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""The value of a fault whose key is not there."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault: where it is, what stands there, what is wrong and what to do.

    Args:
        path: dotted path of the key, e.g. `drift_thresholds.type`.
        value: what the file says there, or `MISSING`.
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
    """A configuration that cannot be used; lists every fault.

    Args:
        source: the file (or other place) the configuration came from.
        faults: at least one fault.
    """

    def __init__(self, source: str, faults: Sequence[ConfigFault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        count = f"{len(faults)} fault" + ("s" if len(faults) != 1 else "")
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{source} has {count}:\n{lines}")


def dotted_path(location: Sequence[str | int]) -> str:
    """Write the place of a value in a JSON document.

    Args:
        location: the keys and list indices that lead to it.

    Returns:
        For example `drift_thresholds.type` or `user_emails[0]`; a key that is no plain word is
        quoted as in JSON, and `(file)` is the document itself.
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


def fault_from_pydantic(error: Mapping[str, Any], fields: Mapping[str, Any]) -> ConfigFault:
    """Turn one item of pydantic's `ValidationError.errors()` into a fault with a fix.

    Args:
        error: the item, with `loc`, `type`, `msg`, `input` and `ctx`.
        fields: the known keys at the top level with their pydantic `FieldInfo`, to suggest one
            for a misspelt key and to tell what a key means.

    Returns:
        The fault.
    """
    location = error["loc"]
    kind = error["type"]
    value = error["input"]
    # Pydantic marks a fault of a key itself by a last part of this name.
    of_key = len(location) > 2 and location[-1] == "[key]"
    path = dotted_path(location[:-1] if of_key else location)
    if kind == "extra_forbidden":
        near = _nearest(str(location[-1]), _keys_beside(location, fields))
        fix = f'did you mean "{near}"? otherwise remove it' if near else "remove it"
        return ConfigFault(path, value, "is an unknown key", fix)
    if kind == "missing":
        return ConfigFault(path, MISSING, "is missing", f"add it: {_meaning(error, fields)}")
    context = error.get("ctx", {})
    form = TEXT_FORMS.get(context.get("pattern", ""))
    if form is not None:
        problem, fix = form.describe_problem(value), form.fix
    else:
        problem = _PROBLEMS.get(kind, "{message}").format(message=error["msg"], **context)
        meaning = f"it means: {_meaning(error, fields)}"
        known_fix = _FIXES.get(kind)
        fix = known_fix.format(**context) if known_fix else str(context.get("fix", meaning))
    if of_key:
        return ConfigFault(path, value, f"has a key that {problem}", "name the key after a feature")
    return ConfigFault(path, value, problem, fix)


_PROBLEMS = {
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
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
}

_FIXES = {
    "string_unicode": "write the character itself",
    "string_type": "write text in quotes",
    "greater_than": "write a number above {gt:g} and at most 1",
    "greater_than_equal": "write {ge:g} or more",
    "less_than_equal": "write {le:g} or less",
    "finite_number": "write a number such as 0.3",
    "bool_type": "write true or false without quotes",
    "float_type": "write a number without quotes, e.g. 0.3",
    "int_type": "write a whole number without quotes",
    "tuple_type": "write a list: [ ... ]",
    "dict_type": "write an object: {{ ... }}",
    "model_type": "write an object: {{ ... }}",
    "literal_error": "write {expected}",
}


def _keys_beside(location: Sequence[str | int], fields: Mapping[str, Any]) -> list[str]:
    for part in location[:-1]:
        section = getattr(fields.get(str(part)), "annotation", None)
        fields = getattr(section, "model_fields", {})
    return list(fields)


def _nearest(name: str, known: Sequence[str]) -> str | None:
    words = name.strip().lower().replace("-", "_").replace(" ", "_")
    return next(iter(difflib.get_close_matches(words, known, n=1)), None)


def _meaning(error: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    location = error["loc"]
    description = getattr(fields.get(str(location[0])) if location else None, "description", None)
    return str(description).rstrip(".") if description else "a permitted value"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    # What a terminal cannot print, or would obey, is escaped.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
