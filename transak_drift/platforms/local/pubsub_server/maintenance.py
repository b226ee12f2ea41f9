"""What the server does unasked: forwards dead letters when due, drops outdated messages."""

from __future__ import annotations

import asyncio

from transak_drift.platforms.local.pubsub_server.announcements import (
    Announcements,
    wait_for_event,
)
from transak_drift.platforms.local.pubsub_server.clock import MICROSECONDS
from transak_drift.platforms.local.pubsub_server.storage import Storage

_RETENTION_CHECK_SECONDS = 60.0


async def drop_outdated_messages(storage: Storage) -> None:
    """Drop, once a minute, the messages that are older than their subscription retains them."""
    while True:
        await storage.run(storage.deliveries.drop_outdated)
        await asyncio.sleep(_RETENTION_CHECK_SECONDS)


async def forward_dead_letters(
    storage: Storage, arrivals: Announcements, last_leases_changed: asyncio.Event
) -> None:
    """Forward exhausted messages when their last lease ends, though nobody pulls.

    Args:
        storage: the server's storage.
        arrivals: told of the subscriptions of dead-letter topics that got messages.
        last_leases_changed: set by others when the next lease to watch may be another.
    """
    while True:
        last_leases_changed.clear()
        woken, next_end = await storage.run(storage.deliveries.forward_exhausted)
        arrivals.announce(woken)
        sleep = None
        if next_end is not None:
            sleep = max(0.0, (next_end - storage.clock.now()) / MICROSECONDS)
        await wait_for_event(last_leases_changed, sleep)
