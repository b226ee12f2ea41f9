"""How text of unknown origin is shown: transactions, features, messages, errors of services."""

from __future__ import annotations

import unicodedata

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sanitize_line(text: str, limit: int | None = None) -> str:
    """Return one line that XML, HTML and headers can hold, cut with an ellipsis at the limit.

    Space of any kind becomes one space, and U+FFFD takes the place of every other character of the
    Unicode categories C*.
    """
    line = " ".join((text if limit is None else text[: 2 * limit]).split())
    visible = "".join(_REPLACEMENT if unicodedata.category(c)[0] == "C" else c for c in line)
    return visible if limit is None or len(visible) <= limit else f"{visible[: limit - 1]}…"
