"""Faults of a configuration, told so that a person can mend all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST_VALUE = 80


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault: where it is, what stands there, what is wrong and what to do.

    Args:
        path: dotted path of the key, e.g. `drift_thresholds.type`.
        value: what the file says there.
        problem: what is wrong with it, as the end of a sentence.
        fix: what to write instead.
    """

    path: str
    value: Any
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = repr(self.value)
        if len(shown) > _LONGEST_VALUE:
            shown = shown[: _LONGEST_VALUE - 3] + "..."
        return f"{self.path} = {shown}: {self.problem}; fix: {self.fix}"


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


def fault_from_pydantic(error: Mapping[str, Any], fields: Mapping[str, Any]) -> ConfigFault:
    """Turn one item of pydantic's `ValidationError.errors()` into a fault with a fix.

    Args:
        error: the item, with `loc`, `type`, `msg`, `input` and `ctx`.
        fields: the known keys at the top level, to suggest one for a misspelt key.

    Returns:
        The fault.
    """
    path = ".".join(str(part) for part in error["loc"]) or "(file)"
    kind = error["type"]
    value = error["input"]
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        near = difflib.get_close_matches(name, list(fields), n=1)
        fix = f"did you mean {near[0]!r}? otherwise remove it" if near else "remove it"
        return ConfigFault(path, value, "is an unknown key", fix)
    if kind == "missing":
        return ConfigFault(path, None, "is missing", f"add {path}")
    problem = _PROBLEMS.get(kind, "{message}").format(message=error["msg"], **context)
    return ConfigFault(path, value, problem, _fix(kind, error, fields))


_PROBLEMS = {
    "string_too_short": "is empty",
    "string_pattern_mismatch": "does not have the form {pattern}",
    "greater_than": "is not greater than {gt}",
    "greater_than_equal": "is less than {ge}",
    "less_than_equal": "is greater than {le}",
    "too_short": "is empty",
    "finite_number": "is not a finite number",
    "bool_type": "is neither true nor false",
    "float_type": "is not a number",
    "int_type": "is not a whole number",
    "string_type": "is not text",
    "tuple_type": "is not a list",
    "dict_type": "is not an object",
}


def _fix(kind: str, error: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    limits = {
        "greater_than": "write a number above {gt} and at most 1",
        "greater_than_equal": "write {ge} or more",
        "less_than_equal": "write {le} or less",
        "bool_type": "write true or false without quotes",
        "float_type": "write a number without quotes, e.g. 0.3",
        "int_type": "write a whole number without quotes",
        "tuple_type": "write a list: [ ... ]",
        "dict_type": "write an object: {{ ... }}",
        "string_type": "write text in quotes",
    }
    if kind in limits:
        return limits[kind].format(**context)
    top = fields.get(str(error["loc"][0])) if error["loc"] else None
    description = getattr(top, "description", None)
    return f"expected is: {description}" if description else "correct it"
