"""One StreamingPull: messages flow to the client as they come, acknowledgements flow back.

Source: the google.pubsub.v1 `StreamingPullRequest` message's documentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.announcements import (
    Announcements,
    wait_for_event,
)
from transak_drift.local.pubsub_server.clock import MICROSECONDS
from transak_drift.local.pubsub_server.errors import invalid_argument
from transak_drift.local.pubsub_server.received_message import (
    MAXIMUM_RESPONSE_BYTES,
    MAXIMUM_RESPONSE_MESSAGES,
    fill_response,
)
from transak_drift.local.pubsub_server.resource_name import require_resource_name
from transak_drift.local.pubsub_server.storage import Storage
from transak_drift.local.pubsub_server.subscription_settings import require_ack_deadline

Acknowledge = Callable[[str, list[str]], Awaitable[None]]
ModifyAckDeadlines = Callable[[str, list[str], list[int]], Awaitable[None]]


class StreamingPull:
    """Serves one stream.

    Args:
        storage: where messages are leased from.
        arrivals: tells when a subscription has new messages.
        lease_ends: tells when deliveries of a subscription were acknowledged or given up.
        acknowledge: acknowledges deliveries of a subscription.
        modify_ack_deadlines: sets the seconds of leases.
        last_leases_changed: set when another lease may be the next whose end makes a dead letter.
    """

    def __init__(
        self,
        storage: Storage,
        arrivals: Announcements,
        lease_ends: Announcements,
        acknowledge: Acknowledge,
        modify_ack_deadlines: ModifyAckDeadlines,
        last_leases_changed: asyncio.Event,
    ) -> None:
        self._storage = storage
        self._arrivals = arrivals
        self._lease_ends = lease_ends
        self._acknowledge = acknowledge
        self._modify_ack_deadlines = modify_ack_deadlines
        self._last_leases_changed = last_leases_changed
        self._subscription = ""
        self._lease_seconds = 0
        self._max_messages = 0
        self._max_bytes = 0
        # What this stream handed out and is still leased: message id → (attempt, bytes).
        self._outstanding: dict[int, tuple[int, int]] = {}
        self._wake = asyncio.Event()

    async def responses(
        self, requests: AsyncIterator[types.StreamingPullRequest]
    ) -> AsyncIterator[types.StreamingPullResponse]:
        """Yield the answers until the client closes its side.

        Raises:
            PubSubError: INVALID_ARGUMENT for a bad request; NOT_FOUND: there is no such
                subscription, or it was deleted meanwhile.
        """
        try:
            first = await anext(requests)
        except StopAsyncIteration:
            return
        self._begin(first)
        reader = asyncio.create_task(self._read(first, requests))
        try:
            with (
                self._arrivals.listening(self._subscription, self._wake),
                self._lease_ends.listening(self._subscription, self._wake),
            ):
                while not reader.done():
                    self._wake.clear()
                    response, wait_seconds = await self._next_response()
                    if response is not None:
                        yield response
                    else:
                        await wait_for_event(self._wake, wait_seconds)
            await reader
        finally:
            reader.cancel()

    def _begin(self, first: types.StreamingPullRequest) -> None:
        if not first.subscription:
            raise invalid_argument("first message must set subscription")
        if not first.stream_ack_deadline_seconds:
            raise invalid_argument("first message must set stream_ack_deadline_seconds")
        self._subscription = require_resource_name(first.subscription, "subscriptions")
        self._max_messages = first.max_outstanding_messages
        self._max_bytes = first.max_outstanding_bytes
        self._take_ack_deadline(first)

    def _take_ack_deadline(self, request: types.StreamingPullRequest) -> None:
        if request.stream_ack_deadline_seconds:
            self._lease_seconds = require_ack_deadline(
                request.stream_ack_deadline_seconds, "stream_ack_deadline_seconds"
            )

    async def _read(
        self, first: types.StreamingPullRequest, requests: AsyncIterator[types.StreamingPullRequest]
    ) -> None:
        try:
            await self._take(first)
            async for request in requests:
                if request.subscription:
                    raise invalid_argument("subscription may only be set in first message")
                self._take_ack_deadline(request)
                await self._take(request)
        finally:
            self._wake.set()

    async def _take(self, request: types.StreamingPullRequest) -> None:
        deadline_ack_ids = list(request.modify_deadline_ack_ids)
        deadlines = list(request.modify_deadline_seconds)
        if len(deadline_ack_ids) != len(deadlines):
            raise invalid_argument("ack IDs and deadlines must have the same size")
        if request.ack_ids:
            await self._acknowledge(self._subscription, list(request.ack_ids))
        if deadline_ack_ids:
            await self._modify_ack_deadlines(self._subscription, deadline_ack_ids, deadlines)

    async def _next_response(self) -> tuple[types.StreamingPullResponse | None, float | None]:
        first_end = await self._forget_ended_leases()
        free_messages, free_bytes = self._capacity()
        if free_messages <= 0 or free_bytes <= 0:
            return None, self._seconds_until(first_end)
        result = await self._storage.run(
            self._storage.deliveries.lease,
            self._subscription,
            max_messages=free_messages,
            max_bytes=free_bytes,
            lease_seconds=self._lease_seconds,
        )
        self._arrivals.announce(result.woken_subscriptions)
        if result.has_last_attempt:
            self._last_leases_changed.set()
        if not result.messages:
            return None, self._seconds_until(result.next_available_at)
        for lease in result.messages:
            self._outstanding[lease.message_id] = (lease.delivery_attempt, len(lease.content))
        return fill_response(types.StreamingPullResponse(), result.messages), None

    async def _forget_ended_leases(self) -> int | None:
        attempts = {message_id: attempt for message_id, (attempt, _) in self._outstanding.items()}
        # Without outstanding messages this still asks whether the subscription exists.
        leased, first_end = await self._storage.run(
            self._storage.deliveries.leased_now, self._subscription, attempts
        )
        for message_id in attempts.keys() - leased:
            del self._outstanding[message_id]
        return first_end

    def _capacity(self) -> tuple[int, int]:
        free_messages = MAXIMUM_RESPONSE_MESSAGES
        free_bytes = MAXIMUM_RESPONSE_BYTES
        if self._max_messages > 0:
            free_messages = min(free_messages, self._max_messages - len(self._outstanding))
        if self._max_bytes > 0:
            held = sum(size for _, size in self._outstanding.values())
            free_bytes = min(free_bytes, self._max_bytes - held)
        return free_messages, free_bytes

    def _seconds_until(self, time: int | None) -> float | None:
        if time is None:
            return None
        return max(0.0, (time - self._storage.clock.now()) / MICROSECONDS)
