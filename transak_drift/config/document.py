"""A configuration's JSON text, read so that a fault of the text is told with its place."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from transak_drift.config.errors import ConfigError, ConfigFault, dotted_path

DEEPEST_NESTING = 32


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys the text gives more than once."""

    repeated: tuple[str, ...] = ()


def read_config_document(text: str, source: str) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Read JSON text whose top level is an object.

    Args:
        text: the JSON text. NaN and Infinity are read as numbers, so that the setting they stand
            in can be named.
        source: where the text came from, for the error message.

    Returns:
        The object, and one fault for each key that is given more than once (the last counts).

    Raises:
        ConfigError: the text is not JSON (RFC 8259), is nested too deep, or is no object.
    """
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise ConfigError(source, [_syntax_fault(text, error)]) from None
    except RecursionError:
        raise ConfigError(source, [_nesting_fault()]) from None
    if not isinstance(document, dict):
        raise ConfigError(
            source,
            [
                ConfigFault(
                    "(file)", document, "is not a JSON object", "write { ... } with the keys"
                )
            ],
        )
    faults = []
    for location, value in _walk(document):
        if len(location) > DEEPEST_NESTING:
            raise ConfigError(source, [_nesting_fault()])
        if isinstance(value, _Object):
            faults += [
                ConfigFault(
                    dotted_path((*location, key)),
                    value[key],
                    "is given more than once",
                    "keep one of them",
                )
                for key in value.repeated
            ]
    return document, faults


def _object(pairs: Sequence[tuple[str, Any]]) -> _Object:
    members = _Object(pairs)
    if len(members) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        members.repeated = tuple(key for key, count in counts.items() if count > 1)
    return members


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits, which no setting is.
    number = float(digits)
    return number if math.isinf(number) else int(digits)


def _walk(document: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    # A stack instead of recursion: the depth is the file's to choose.
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while stack:
        location, value = stack.pop()
        yield location, value
        if isinstance(value, dict):
            stack += [((*location, key), member) for key, member in value.items()]
        elif isinstance(value, list):
            stack += [((*location, index), member) for index, member in enumerate(value)]


def _syntax_fault(text: str, error: json.JSONDecodeError) -> ConfigFault:
    where = f"line {error.lineno}, column {error.colno}"
    if text.startswith("\ufeff"):
        problem, fix = "starts with a byte order mark", "save it as UTF-8 without one"
    elif not text.strip():
        problem, fix = "is empty", "write { ... } with the keys"
    else:
        problem, fix = f"is not valid JSON: {error.msg}", "correct the syntax"
    return ConfigFault("(file)", where, problem, fix)


def _nesting_fault() -> ConfigFault:
    return ConfigFault(
        "(file)",
        "[[[...",
        f"nests objects or lists more than {DEEPEST_NESTING} deep",
        "write the settings as the schema names them",
    )
