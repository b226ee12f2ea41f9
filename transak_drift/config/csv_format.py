"""How the CSV files of the user's own data are written."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import AfterValidator

from transak_drift.config.fields import Section, fault


def _known_encoding(name: str) -> str:
    try:
        # Python also has codecs that turn bytes into bytes; those are no encodings of text.
        b"".decode(name)
    except (LookupError, ValueError):
        fix = "write utf-8, utf-16, windows-1252, iso-8859-1 or another that Python knows"
        raise fault("encoding", "is no encoding", fix) from None
    return name


def _names_a_day(text: str) -> str:
    codes = {code for percent, code in itertools.pairwise(text) if percent == "%"}
    if "d" not in codes or not codes & set("mbB") or not codes & set("yY"):
        fix = "write it with %d, %m and %Y, such as %d.%m.%Y for 20.11.2026"
        raise fault("date_format", "does not name day, month and year", fix)
    return text


class CsvFormat(Section):
    """The form of CSV files: RFC 4180 in UTF-8 but for what is set."""

    separator: Literal[",", ";", "\t", "|"] | None = None
    """What separates the fields; by default recognised by the header line."""

    decimal: Literal[".", ","] = "."
    """Decimal mark of numbers. With a comma, points may group the digits before it: 1.234,50."""

    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    """Encoding of the text, e.g. windows-1252 or utf-16."""

    date_format: Annotated[str, AfterValidator(_names_a_day)] | None = None
    """Form of the days in date_column, e.g. %d.%m.%Y for 20.11.2026; by default ISO 8601."""
