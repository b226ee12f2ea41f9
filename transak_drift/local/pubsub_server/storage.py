"""The stores over one database, and the thread that they are used from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from transak_drift.local.pubsub_server.clock import Clock
from transak_drift.local.pubsub_server.database import Database
from transak_drift.local.pubsub_server.delivery_store import DeliveryStore
from transak_drift.local.pubsub_server.message_store import MessageStore
from transak_drift.local.pubsub_server.subscription_store import SubscriptionStore
from transak_drift.local.pubsub_server.topic_store import TopicStore

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Storage:
    """All that the server keeps.

    Args:
        data_file: the SQLite file, created when missing.
        clock: the time that leases and publish times are taken from.
    """

    def __init__(self, data_file: Path, clock: Clock) -> None:
        self._database = Database(data_file)
        self.clock = clock
        self.topics = TopicStore(self._database)
        self.subscriptions = SubscriptionStore(self._database)
        self.messages = MessageStore(self._database, clock)
        self.deliveries = DeliveryStore(self._database, clock)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage")

    async def run(
        self,
        function: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Run a method of a store on the storage thread: one after the other, off the event loop.

        A cancelled caller does not undo a call that has begun.
        """
        future = self._executor.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish the calls that have begun and close the file."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._database.close()
