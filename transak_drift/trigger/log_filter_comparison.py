"""Comparisons of the Logging query language: one field, one operator, one value.

Source: "Logging query language" (Google Cloud Observability documentation), sections "Values and
conversions", "Comparison operators" and "Regular expressions"; "LogSeverity" (Cloud Logging API).
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from transak_drift.trigger.log_entry_field import LogEntryField

Predicate = Callable[[Mapping[str, Any]], bool]
_Test = Callable[[Any], bool]
_Relation = Callable[[Any, Any], bool]

SEVERITIES: Mapping[str, int] = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}

_RELATIONS: Mapping[str, _Relation] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    ":": operator.eq,
}
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|[+-]?infinity",
    re.ASCII | re.IGNORECASE,
)
# The constructs that RE2, which Cloud Logging uses, and Python's engine read alike. "$" differs:
# RE2's means the very end, Python's also the place before a last line feed.
_PATTERN_PART = re.compile(
    r"""
    (?P<end>\$)
    | \\[dDwWbBnrtf]
    | \\[!-/:-@\[-`{-~]
    | \[\^?(?:\\[dDwW\\\[\]^-]|[^\\\[\]^])+\]
    | \(\?: | \((?!\?) | [)|^.]
    | (?:[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})\??(?![*+?{])
    | [^\\\[\](){}*+?|^$.]
    """,
    re.ASCII | re.VERBOSE,
)


def presence(field: LogEntryField) -> Predicate:
    """Build `field:*`: true where the entry holds the field explicitly.

    Args:
        field: the field.

    Returns:
        The predicate on a LogEntry.
    """
    return lambda entry: bool(field.present_values(entry))


def comparison(field: LogEntryField, symbol: str, value: str | None) -> Predicate:
    """Build a comparison of a field with a value.

    An array field matches when any member does. A missing field never matches, also with `!=`
    and `!~`. A value that cannot be converted to the field's type never matches.

    Args:
        field: the left side; not an object.
        symbol: one of = != : < <= > >= =~ !~
        value: the right side as written, without quotes; None for NULL_VALUE.

    Returns:
        The predicate on a LogEntry.

    Raises:
        ValueError: the operator or the value does not suit the field, or a regular expression is
            not one that RE2 and Python read alike.
    """
    test = _test(field, symbol, value)
    return lambda entry: any(test(found) for found in field.compared_values(entry))


def _test(field: LogEntryField, symbol: str, value: str | None) -> _Test:
    if value is None:
        return _null_test(field, symbol)
    if field.is_severity:
        return _severity_test(symbol, value)
    if symbol in ("=~", "!~"):
        return _regular_expression_test(symbol, value)
    return _scalar_test(symbol, value)


def _null_test(field: LogEntryField, symbol: str) -> _Test:
    if symbol != "=" or field.default is not None:
        raise ValueError("NULL_VALUE can only be compared with = and with a field of jsonPayload")
    return lambda found: found is None


def _severity_test(symbol: str, value: str) -> _Test:
    if symbol not in _RELATIONS or symbol == ":":
        raise ValueError(f"severity cannot be compared with {symbol}; use = != < <= > or >=")
    if value.upper() not in SEVERITIES:
        raise ValueError(f"{value!r} is no severity; write one of {', '.join(SEVERITIES)}")
    wanted = SEVERITIES[value.upper()]
    relation = _RELATIONS[symbol]

    def test(found: Any) -> bool:
        level = SEVERITIES.get(found.upper()) if isinstance(found, str) else found
        return isinstance(level, int) and not isinstance(level, bool) and relation(level, wanted)

    return test


def _regular_expression_test(symbol: str, value: str) -> _Test:
    pattern = _pattern(value)
    wanted = symbol == "=~"
    return lambda found: isinstance(found, str) and (pattern.search(found) is not None) is wanted


def _pattern(value: str) -> re.Pattern[str]:
    parts = []
    position = 0
    while position < len(value):
        part = _PATTERN_PART.match(value, position)
        if part is None:
            raise ValueError(
                f"{value[position:][:20]!r} in the regular expression {value!r} is not supported; "
                "use what RE2 and Python share: literals, classes, groups, | and quantifiers"
            )
        parts.append(r"\Z" if part["end"] else part[0])
        position = part.end()
    try:
        # In RE2 \d, \w and \b know ASCII alone.
        return re.compile("".join(parts), re.ASCII)
    except (re.error, RecursionError) as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None


def _scalar_test(symbol: str, value: str) -> _Test:
    relation = _RELATIONS[symbol]
    text = normalized(value)
    number = float(value) if _NUMBER.fullmatch(value) else None
    boolean = {"true": True, "false": False}.get(value.lower())

    def test(found: Any) -> bool:
        if isinstance(found, str):
            return text in normalized(found) if symbol == ":" else relation(normalized(found), text)
        if isinstance(found, bool):
            return boolean is not None and relation(found, boolean)
        if isinstance(found, int | float):
            return number is not None and relation(found, number)
        return False

    return test


def normalized(text: str) -> str:
    """Fold a string as comparisons do, so that letter case and compatibility forms are equal.

    Args:
        text: any string.

    Returns:
        Its NFKC_Casefold form (Unicode Standard Annex 44), except that default-ignorable
        characters stay: such a string differs here where Cloud Logging would call it equal.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)
