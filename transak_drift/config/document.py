"""A configuration's JSON text, read so that a fault of the text is reported with its place."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from transak_drift.config.errors import ConfigError, ConfigFault, dotted_path

MAX_NESTING = 32


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys the text gives more than once."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [
            key for key, count in Counter(key for key, _ in pairs).items() if count > 1
        ]


def read_document(text: str, source: str) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Read a JSON object, with a fault for each key that is given more than once.

    NaN and Infinity are read as numbers, so that the setting they stand in can be named.
    """
    try:
        document = json.loads(text, object_pairs_hook=_Object, parse_int=_integer)
        if isinstance(document, dict):
            return document, list(_repeated_keys(document, ()))
        shown, problem, fix = text.strip(), "is not a JSON object", "write { ... } with the keys"
    except json.JSONDecodeError as error:
        shown = f"line {error.lineno}, column {error.colno}"
        problem, fix = f"is not valid JSON: {error.msg}", "correct the syntax"
        if text.startswith("\ufeff"):
            problem, fix = "starts with a byte order mark", "save it as UTF-8 without one"
        elif not text.strip():
            problem, fix = "is empty", "write { ... } with the keys"
    except RecursionError:
        shown = "[[[..."
        problem = f"nests objects or lists more than {MAX_NESTING} deep"
        fix = "write the settings as the schema names them"
    raise ConfigError(source, [ConfigFault("(file)", shown, problem, fix)])


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits, which no setting is.
    number = float(digits)
    return number if math.isinf(number) else int(digits)


def _repeated_keys(value: Any, location: tuple[str | int, ...]) -> Iterator[ConfigFault]:
    if len(location) > MAX_NESTING:
        raise RecursionError
    if isinstance(value, _Object):
        for key in value.repeated:
            path = dotted_path((*location, key))
            yield ConfigFault(path, value[key], "is given more than once", "keep one of them")
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        if isinstance(member, dict | list):
            yield from _repeated_keys(member, (*location, key))
