"""The one text by which a value of a categorical feature counts, whatever file it came from."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from decimal import Decimal

_FIRST_CHARACTERS = frozenset("-.0123456789tTfF")
_NUMBER = re.compile(r"(-?)((?:0|[1-9][0-9]*)?)(?:\.([0-9]+))?")
# As Python, C and DuckDB (1e-05) or Java (1.0E-5) print floats; "1e5" and "12E3" may be codes.
_SCIENTIFIC = re.compile(r"-?[1-9](\.[0-9]+)?(?:e(?=[+-])|(?(1)E|(?!)))([+-]?[0-9]{1,3})")
_MAX_EXPONENT = 37
_MAX_INTEGER = 2**63
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?(?: ?(?:UTC|(?P<offset>Z|[+-][0-9]{2}(?::?[0-9]{2})?)))?"
)


def canonical_text(text: str) -> str:
    """Return the canonical text of a value, given any of the texts that files have for it.

    The rules are the same for all sources: the cells of CSV, which have no type, and what DuckDB
    prints of a typed Parquet value. What no rule names stays as it is; upper and lower case,
    spaces and all characters count.

    | value | canonical text | also written as |
    |---|---|---|
    | missing | (none: the caller counts it as missing) | null, the empty text, in quotes or not |
    | text in bytes | the text, if it is UTF-8 | BLOB, BYTE_ARRAY without a type |
    | boolean | `true`, `false` | `True`, `TRUE` |
    | number | `12`, `-1.5`, `0.00001`: no exponent, no final zeros | `12.0`, `-1.50`, `1e-05` |
    | number from 1e38 on, or as small | `1e+300`, the shortest digits that are that float | |
    | zero | `0` | `0.0`, `-0` |
    | code with a leading zero | `007` | |
    | day | `2026-01-31` | midnight of that day, of any type of timestamp |
    | time | `2026-01-31 09:00:00.5`, UTC | `2026-01-31T10:00:00.5+01:00`, `... UTC`, no zone |

    So the text "1.50" of CSV and the decimal 1.50, the float 1.5 and the text "1.5" of Parquet are
    one value, and an integer is that integer also where pandas made a float of it.
    """
    if text[:1] not in _FIRST_CHARACTERS:
        return text
    if text[0] in "tTfF":
        folded = text.lower() if len(text) in (4, 5) else text
        return folded if folded in ("true", "false") else text
    if number := _NUMBER.fullmatch(text):
        sign, whole, fraction = number.groups()
        return _plain(sign, whole or "0", fraction or "") if whole or fraction else text
    if number := _SCIENTIFIC.fullmatch(text):
        return _without_exponent(text, int(number[2]))
    if moment := _TIME.fullmatch(text):
        return _in_utc(text, moment)
    return text


def canonical_counts(counts: dict[str | None, int]) -> tuple[dict[str, int], int]:
    """Turn rows by text, or by None without a value, into rows by canonical text, and the missing.

    The given counts are changed and not to be used again.
    """
    missing = counts.pop(None, 0) + counts.pop("", 0)
    texts: dict[str, int] = counts  # ty: ignore[invalid-assignment]
    for text in [text for text in texts if text[0] in _FIRST_CHARACTERS]:
        canonical = canonical_text(text)
        if canonical != text:
            texts[canonical] = texts.get(canonical, 0) + texts.pop(text)
    return texts, missing


def _plain(sign: str, whole: str, fraction: str) -> str:
    fraction = fraction.rstrip("0")
    digits = f"{whole}.{fraction}" if fraction else whole
    return "0" if digits == "0" else sign + digits


def _without_exponent(text: str, exponent: int) -> str:
    if abs(exponent) > _MAX_EXPONENT:
        return text
    plain = f"{Decimal(text):f}"
    if "." not in plain and abs(float(text)) <= _MAX_INTEGER:
        # The integer itself, whose last digits the shortest text of its float does not have.
        return str(int(float(text)))
    return canonical_text(plain)


def _in_utc(text: str, moment: re.Match[str]) -> str:
    try:
        found = datetime.fromisoformat(
            f"{moment['day']}T{moment['time']}{moment['offset'] or '+00:00'}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    fraction = (moment["fraction"] or "").rstrip("0")
    if not fraction and found.time() == time():
        return found.date().isoformat()
    # The fraction is kept apart: Python's has six digits, the nanoseconds of pandas nine.
    return found.replace(tzinfo=None).isoformat(" ") + (f".{fraction}" if fraction else "")
