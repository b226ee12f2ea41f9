"""What the server does unasked: forwards dead letters when due, drops outdated messages."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from transak_drift.local.pubsub_server.announcements import (
    Announcements,
    wait_for_event,
)
from transak_drift.local.pubsub_server.clock import MICROSECONDS
from transak_drift.local.pubsub_server.storage import Storage

_log = logging.getLogger(__name__)
_RETENTION_CHECK_SECONDS = 60.0
_RETRY_SECONDS = 10.0


async def drop_outdated_messages(storage: Storage) -> None:
    """Drop, once a minute, the messages that are older than their subscription retains them."""
    while True:
        try:
            await storage.run(storage.deliveries.drop_outdated)
        except sqlite3.Error:
            _log.exception("outdated messages could not be dropped; trying again later")
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
        try:
            woken, next_end = await storage.run(storage.deliveries.forward_exhausted)
        except sqlite3.Error:
            _log.exception("dead letters could not be forwarded; trying again later")
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        arrivals.announce(woken)
        sleep = None
        if next_end is not None:
            sleep = max(0.0, (next_end - storage.clock.now()) / MICROSECONDS)
        await wait_for_event(last_leases_changed, sleep)
