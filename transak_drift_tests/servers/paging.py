"""Pages of a list, as "AIP-158: Pagination" has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from transak_drift_tests.servers.status import invalid

Item = TypeVar("Item")


def page(
    items: Sequence[Item], page_size: int, page_token: str, largest: int
) -> tuple[list[Item], str]:
    """Return one page and the token of the next."""
    try:
        start = int(page_token or 0)
    except ValueError:
        raise invalid(f"page_token {page_token!r} is not valid") from None
    if page_size < 0:
        raise invalid("page_size must not be negative")
    size = min(page_size or largest, largest)
    end = start + size
    return list(items[start:end]), str(end) if end < len(items) else ""
