"""Fields of a Cloud Logging LogEntry that a filter can name, and their values in an entry.

Sources: "LogEntry" (Cloud Logging API v2) for the fields and their types; "Logging query
language", sections "Missing fields" and "Object and array types", for what a path finds.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DEFAULTS: Mapping[tuple[str, ...], Any] = {
    ("insertId",): "",
    ("logName",): "",
    ("severity",): "DEFAULT",
    ("spanId",): "",
    ("textPayload",): "",
    ("trace",): "",
    ("traceSampled",): False,
    ("resource", "type"): "",
    ("operation", "id"): "",
    ("operation", "producer"): "",
    ("operation", "first"): False,
    ("operation", "last"): False,
    ("sourceLocation", "file"): "",
    ("sourceLocation", "function"): "",
}
_MAPS = (("jsonPayload",), ("labels",), ("resource", "labels"))
_OBJECTS = (*_MAPS, ("resource",), ("operation",), ("sourceLocation",))


@dataclass(frozen=True, slots=True)
class LogEntryField:
    """A field that a filter names.

    Args:
        path: the names from the entry down, e.g. ("resource", "labels", "location").
        default: the value that comparisons see where the entry has none; None for a field that
            is then missing, so that its comparisons fail.
        is_object: whether the field holds further fields, so that only `:*` can ask for it.
    """

    path: tuple[str, ...]
    default: Any
    is_object: bool

    @property
    def is_severity(self) -> bool:
        """Whether the field is the entry's severity, which is an enumeration."""
        return self.path == ("severity",)

    def present_values(self, entry: Mapping[str, Any]) -> list[Any]:
        """Return the values the entry holds: none, one, or each member of an array.

        Args:
            entry: the LogEntry in its JSON form.

        Returns:
            The values; objects stay whole, arrays are opened, also along the path.
        """
        values: list[Any] = [entry]
        for name in self.path:
            values = [
                value[name]
                for value in _opened(values)
                if isinstance(value, Mapping) and name in value
            ]
        return _opened(values)

    def compared_values(self, entry: Mapping[str, Any]) -> list[Any]:
        """Return the values that a comparison sees: those present, else the default.

        Args:
            entry: the LogEntry in its JSON form.

        Returns:
            The values; empty where the field is missing.
        """
        values = self.present_values(entry)
        if self.default is None:
            return values
        return [value for value in values if value is not None] or [self.default]


def _opened(values: Sequence[Any]) -> list[Any]:
    opened: list[Any] = []
    waiting = list(reversed(values))
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting.extend(reversed(value))
        else:
            opened.append(value)
    return opened


def log_entry_field(path: Sequence[str]) -> LogEntryField:
    """Find the field that a path names.

    Args:
        path: the names from the entry down, at least one.

    Returns:
        The field.

    Raises:
        ValueError: LogEntry defines no such field, or it is of a kind that is not supported here
            (timestamps, durations, protoPayload, httpRequest and metadata).
    """
    names = tuple(path)
    if names in _DEFAULTS:
        return LogEntryField(names, _DEFAULTS[names], is_object=False)
    if names in _OBJECTS:
        return LogEntryField(names, None, is_object=True)
    if any(names[: len(prefix)] == prefix for prefix in _MAPS):
        return LogEntryField(names, None, is_object=False)
    shown = ".".join(names)
    known = [".".join(known) for known in (*_DEFAULTS, *_OBJECTS)]
    near = difflib.get_close_matches(shown, known, n=1)
    fix = f"did you mean {near[0]}?" if near else f"supported are {', '.join(sorted(known))}"
    raise ValueError(f"{shown} is not a supported field of a LogEntry; {fix}")
