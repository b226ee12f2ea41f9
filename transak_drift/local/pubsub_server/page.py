"""Pages of a list method (AIP-158): the page token is the last name of the page before."""

from __future__ import annotations

from transak_drift.local.pubsub_server.errors import invalid_argument

MAXIMUM_PAGE_SIZE = 1000


def page_limit(page_size: int) -> int:
    """Return how many entries a page has; 0 asks for the largest page.

    Raises:
        PubSubError: INVALID_ARGUMENT; the size is negative.
    """
    if page_size < 0:
        raise invalid_argument(f"page_size is {page_size}: it must not be negative")
    return min(page_size or MAXIMUM_PAGE_SIZE, MAXIMUM_PAGE_SIZE)


def split_page(names: list[str], limit: int) -> str:
    """Return the token of the next page for names read up to `limit` + 1; empty: the last page."""
    return names[limit - 1] if len(names) > limit else ""
