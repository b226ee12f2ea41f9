"""Data on Google Cloud by address or query, with placeholders for the window that is monitored.

A placeholder is a word in braces. Other braces stay as they are, such as those of JSON or of a
regular expression in a query, as long as each has its partner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from transak_drift.config.errors import ConfigFault
from transak_drift.config.monitoring_window import Window, WindowLength

BATCH_PREDICTION = "batchPredictionJobs/"
BIGQUERY = "bq://"
CLOUD_STORAGE = "gs://"

_PLACEHOLDER = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?::(?P<form>[^{}]+))?\}")
_BRACES = re.compile(r"\{[^{}]*\}")
# Comments and literals of GoogleSQL ("Lexical structure and syntax"); a backslash escapes the quote
# in a raw string as well.
_COMMENT_OR_LITERAL = re.compile(
    r"(?P<comment>--[^\n]*|\#[^\n]*|/\*.*?\*/)"
    r'|"""(?:\\.|.)*?"""|\'\'\'(?:\\.|.)*?\'\'\''
    r"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`",
    re.DOTALL,
)
_OF_WINDOW = ("first_day", "last_day", "yyyymm")
_KNOWN = {
    "prediction_dataset": ("date", *_OF_WINDOW),
    "prediction_query": _OF_WINDOW,
    "training_dataset": ("model_version",),
    "training_query": (*_OF_WINDOW, "model_version"),
    "transactions": ("date", *_OF_WINDOW),
}
_FORMS = {"yyyymm": "%Y%m", **dict.fromkeys(("date", "first_day", "last_day"), "%Y-%m-%d")}
# What the codes of a form of {date} name ("strftime() and strptime() Format Codes").
_DAY_CODES = frozenset("deDFjxcaAuws")
_OF_LENGTH: dict[WindowLength, frozenset[str]] = {
    "day": _DAY_CODES,
    "week": frozenset("VW"),
    "month": frozenset("mbBh"),
}
# Codes that tell the year; the number of an ISO week needs the ISO year.
_YEAR_CODES = frozenset("GYyDFcxs")
_RIGHT_FORM = {"day": "{date}", "week": "{first_day} or {date:%G-W%V}", "month": "{date:%Y-%m}"}


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where rows lie: at an address, or, where it is empty, what a SELECT of BigQuery has.

    A table with rows of other windows has the column that tells their time, and from when until
    when (exclusive, UTC) they count.
    """

    address: str = ""
    query: str = ""
    time_column: str | None = None
    interval: tuple[datetime, datetime] | None = None

    def __str__(self) -> str:
        return self.address or " ".join(self.query.split())


def select_month(table: str, column: str, window: Window) -> str:
    """Write the query of a month's rows, whose column has it as a whole number such as 202608."""
    return (
        f"SELECT * FROM {quote_identifier(table)} "
        f"WHERE {quote_identifier(column)} = {window.last_day:%Y%m}"
    )


def quote_identifier(name: str) -> str:
    """Quote the name of a table or column of BigQuery; a ValueError names one that cannot be."""
    if "`" in name or "\\" in name:
        raise ValueError(f"{name!r} is no name in BigQuery: remove its backticks and backslashes")
    return f"`{name}`"


def fill_placeholders(text: str, window: Window, model_version: str = "") -> str:
    """Fill the placeholders of an address or query; {date} is the window's first day."""
    values = {
        "first_day": str(window.first_day),
        "last_day": str(window.last_day),
        "yyyymm": f"{window.last_day:%Y%m}",
        "date": str(window.first_day),
        "model_version": model_version,
    }

    def value(match: re.Match[str]) -> str:
        if match["name"] == "date" and match["form"]:
            return window.first_day.strftime(match["form"])
        return values.get(match["name"], match[0])

    return _PLACEHOLDER.sub(value, text)


def names_window(text: str) -> bool:
    """Whether an address or query has a placeholder of the window."""
    return any(match["name"] in ("date", *_OF_WINDOW) for match in _PLACEHOLDER.finditer(text))


def window_forms(text: str) -> list[tuple[str, str]]:
    """Return each placeholder of the window in a path, with the form of strftime that fills it."""
    return [
        (match[0], (match["form"] or _FORMS[match["name"]]).replace("%F", "%Y-%m-%d"))
        for match in _PLACEHOLDER.finditer(text)
        if match["name"] in _FORMS
    ]


def length_of_files(path: str, monitored: WindowLength) -> WindowLength | None:
    """Return what a path with placeholders is of, where windows of a length are monitored."""
    forms = window_forms(path)
    if any(placeholder in ("{first_day}", "{last_day}") for placeholder, _ in forms):
        return monitored
    codes = set(re.findall(r"%[-_0^#]?([A-Za-z])", " ".join(form for _, form in forms)))
    return next((length for length, of in _OF_LENGTH.items() if codes & of), None)


def is_in_bigquery(address: str | None, query: str | None) -> bool:
    """Whether rows, of an address or else of a query, are BigQuery's to count."""
    return query is not None or (address or "").startswith(BIGQUERY)


def path_faults(path: str) -> list[tuple[str, str]]:
    """Return what is wrong with the placeholders of a path of transactions, each with its fix."""
    return list(_faults_of("transactions", path))


def data_source_faults(document: Mapping[str, Any]) -> list[ConfigFault]:
    """Find what is wrong with the addresses and queries of a configuration and their windows.

    The document is as its author wrote it: a value of another type is passed over, since its own
    fault is found elsewhere.
    """
    section = document.get("vertex")
    if not isinstance(section, Mapping):
        return []
    length = document.get("monitoring_window", "day")
    length = length if length in get_args(WindowLength) else None
    faults = []
    for key in _KNOWN:
        text = section.get(key)
        if isinstance(text, str) and text:
            found = [*_faults_of(key, text), *_window_faults(key, text, length)]
            if key.endswith("_query") and section.get(dataset := _dataset_of(key)) is not None:
                found.append((f"is set beside {dataset}", f"keep one of {key} and {dataset}"))
            faults += [ConfigFault(f"vertex.{key}", text, *fault) for fault in found]
    return faults


def _dataset_of(key: str) -> str:
    return key.replace("_query", "_dataset")


def _faults_of(key: str, text: str) -> Iterator[tuple[str, str]]:
    """Find problems, each with its fix, that no window has to do with."""
    is_query = key.endswith("_query")
    if is_query:
        code = _COMMENT_OR_LITERAL.sub(lambda match: " " if match["comment"] else "''", text)
        one = "write one SELECT of standard SQL"
        if not code.strip():
            yield "is empty", one
        elif ";" in code:
            yield "has a semicolon", f"{one}, without a semicolon at its end"
        elif re.match(r"\s*(SELECT|WITH|FROM)\b|\s*\(", code, re.IGNORECASE) is None:
            yield "is no SELECT", one
        text = _without_comments(text)
    names = ", ".join(f"{{{name}}}" for name in _KNOWN[key])
    literal = "; write a lone brace as CHR(123) or CHR(125)" if is_query else ""
    words = {match["name"]: match for match in _PLACEHOLDER.finditer(text)}
    for name, match in words.items():
        if name not in _KNOWN[key] or (match["form"] and name != "date"):
            yield f"has the unknown placeholder {match[0]}", f"known here: {names}{literal}"
    while (shorter := _BRACES.sub("", text)) != text:
        text = shorter
    if "{" in text or "}" in text:
        yield "has a brace without its partner", f"placeholders are {names}{literal}"


def _window_faults(key: str, text: str, length: WindowLength | None) -> Iterator[tuple[str, str]]:
    """Find what does not go with windows of a length, or leaves open which window is meant."""
    text = _without_comments(text) if key.endswith("_query") else text
    if length not in ("month", None) and "{yyyymm}" in text:
        problem = f"has {{yyyymm}}, but monitoring_window is {length}, which is no whole month"
        fix = "set monitoring_window to month"
        yield problem, f"{fix}, or write {{first_day}} and {{last_day}}"
    if not key.startswith("prediction_"):
        return
    if not names_window(text):
        fix = f"add {_RIGHT_FORM[length or 'day']}"
        if key == "prediction_query":
            month = ", or {yyyymm}," if length == "month" else ""
            fix = f"write {{first_day}} and {{last_day}}{month} into its WHERE"
            yield "names no window, so that it would compare the same rows for ever", fix
        elif text.startswith(CLOUD_STORAGE):
            problem = "names no window, and Vertex AI chooses rows by their time in BigQuery only"
            yield problem, f"{fix} to the path, or name a BigQuery table"
        return
    dates = [match for match in _PLACEHOLDER.finditer(text) if match["name"] == "date"]
    if not dates or length is None:
        return
    forms = " ".join(match["form"] or "%Y-%m-%d" for match in dates)
    codes = set(re.findall(r"%[-_0^#]?([A-Za-z])", forms))
    names = {match["name"] for match in _PLACEHOLDER.finditer(text)}
    has_other = not names.isdisjoint(_OF_WINDOW)
    is_of_window = bool(codes & _OF_LENGTH[length]) or has_other
    has_year = bool(codes & (_YEAR_CODES - {"Y", "y"} if "V" in codes else _YEAR_CODES))
    fix = f"write {_RIGHT_FORM[length]}, or set monitoring_window to what the data are split by"
    if length != "day" and codes & _DAY_CODES:
        yield f"is the address of one day, but monitoring_window is {length}", fix
    elif not is_of_window:
        yield f"does not name the {length}, and monitoring_window is {length}", fix
    elif not has_year and not has_other:
        yield f"does not name the year, so that a {length} would be taken for another year's", fix


def _without_comments(query: str) -> str:
    return _COMMENT_OR_LITERAL.sub(lambda match: " " if match["comment"] else match[0], query)
