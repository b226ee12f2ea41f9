"""Wake-up calls between requests, by subscription."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Generator, Iterable
from contextlib import contextmanager


class Announcements:
    """Sets the events of those who wait on a subscription.

    Used from one event loop. A listener clears its event *before* it looks at the storage, so that
    what changes afterwards wakes it: no announcement is missed.
    """

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def announce(self, subscription_names: Iterable[str]) -> None:
        """Wake all who listen on one of the subscriptions."""
        for name in subscription_names:
            for event in self._listeners.get(name, ()):
                event.set()

    @contextmanager
    def listening(self, subscription_name: str, event: asyncio.Event) -> Generator[None]:
        """Set `event` at each announcement while the context is open."""
        self._listeners[subscription_name].add(event)
        try:
            yield
        finally:
            listeners = self._listeners[subscription_name]
            listeners.discard(event)
            if not listeners:
                del self._listeners[subscription_name]


async def wait_for_event(event: asyncio.Event, timeout_seconds: float | None) -> None:
    """Wait until the event is set or the time is over, whichever comes first."""
    try:
        await asyncio.wait_for(event.wait(), timeout_seconds)
    except TimeoutError:
        return
