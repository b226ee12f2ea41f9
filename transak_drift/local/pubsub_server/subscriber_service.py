"""The google.pubsub.v1.Subscriber service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.announcements import (
    Announcements,
    wait_for_event,
)
from transak_drift.local.pubsub_server.clock import MICROSECONDS
from transak_drift.local.pubsub_server.errors import invalid_argument, unimplemented
from transak_drift.local.pubsub_server.generic_handler import (
    service_handler,
    stream_handler,
    unary_handler,
)
from transak_drift.local.pubsub_server.lease_rules import MAXIMUM_ACK_DEADLINE_SECONDS
from transak_drift.local.pubsub_server.page import page_limit, split_page
from transak_drift.local.pubsub_server.received_message import (
    MAXIMUM_RESPONSE_BYTES,
    MAXIMUM_RESPONSE_MESSAGES,
    fill_response,
)
from transak_drift.local.pubsub_server.resource_name import (
    require_project_name,
    require_resource_name,
)
from transak_drift.local.pubsub_server.storage import Storage
from transak_drift.local.pubsub_server.streaming_pull import StreamingPull
from transak_drift.local.pubsub_server.subscription_settings import (
    change_subscription,
    complete_subscription,
)

SERVICE_NAME = "google.pubsub.v1.Subscriber"
_LONGEST_PULL_SECONDS = 90.0
_ANSWER_SECONDS = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SubscriberService:
    """Subscriptions, delivery and acknowledgement.

    Args:
        storage: where subscriptions and messages are kept.
        arrivals: tells, and is told, which subscriptions have messages to deliver.
        lease_ends: tells, and is told, of which subscriptions deliveries were settled.
        last_leases_changed: set when another lease may be the next whose end makes a dead letter.
    """

    def __init__(
        self,
        storage: Storage,
        arrivals: Announcements,
        lease_ends: Announcements,
        last_leases_changed: asyncio.Event,
    ) -> None:
        self._storage = storage
        self._arrivals = arrivals
        self._lease_ends = lease_ends
        self._last_leases_changed = last_leases_changed

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler to register with a gRPC server."""
        return service_handler(
            SERVICE_NAME,
            {
                "CreateSubscription": unary_handler(self.create_subscription, types.Subscription),
                "GetSubscription": unary_handler(
                    self.get_subscription, types.GetSubscriptionRequest
                ),
                "UpdateSubscription": unary_handler(
                    self.update_subscription, types.UpdateSubscriptionRequest
                ),
                "ListSubscriptions": unary_handler(
                    self.list_subscriptions, types.ListSubscriptionsRequest
                ),
                "DeleteSubscription": unary_handler(
                    self.delete_subscription, types.DeleteSubscriptionRequest
                ),
                "Pull": unary_handler(self.pull, types.PullRequest),
                "StreamingPull": stream_handler(self.streaming_pull, types.StreamingPullRequest),
                "Acknowledge": unary_handler(self.acknowledge, types.AcknowledgeRequest),
                "ModifyAckDeadline": unary_handler(
                    self.modify_ack_deadline, types.ModifyAckDeadlineRequest
                ),
                "Seek": unary_handler(self.seek, types.SeekRequest),
            },
        )

    async def create_subscription(
        self, request: types.Subscription, context: grpc.aio.ServicerContext
    ) -> types.Subscription:
        """Create a subscription."""
        require_resource_name(request.name, "subscriptions")
        require_resource_name(request.topic, "topics")
        return await self._storage.run(
            self._storage.subscriptions.create, complete_subscription(request)
        )

    async def get_subscription(
        self, request: types.GetSubscriptionRequest, context: grpc.aio.ServicerContext
    ) -> types.Subscription:
        """Return a subscription."""
        name = require_resource_name(request.subscription, "subscriptions")
        return await self._storage.run(self._storage.subscriptions.get, name)

    async def update_subscription(
        self, request: types.UpdateSubscriptionRequest, context: grpc.aio.ServicerContext
    ) -> types.Subscription:
        """Change the fields of a subscription that the mask names."""
        name = require_resource_name(request.subscription.name, "subscriptions")

        def update() -> types.Subscription:
            present = self._storage.subscriptions.get(name)
            changed = change_subscription(
                present, request.subscription, list(request.update_mask.paths)
            )
            return self._storage.subscriptions.replace(changed)

        changed = await self._storage.run(update)
        self._last_leases_changed.set()
        return changed

    async def list_subscriptions(
        self, request: types.ListSubscriptionsRequest, context: grpc.aio.ServicerContext
    ) -> types.ListSubscriptionsResponse:
        """Return a page of a project's subscriptions, by name."""
        project = require_project_name(request.project)
        limit = page_limit(request.page_size)
        subscriptions = await self._storage.run(
            self._storage.subscriptions.list_after, project, request.page_token, limit + 1
        )
        return types.ListSubscriptionsResponse(
            subscriptions=subscriptions[:limit],
            next_page_token=split_page([entry.name for entry in subscriptions], limit),
        )

    async def delete_subscription(
        self, request: types.DeleteSubscriptionRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Delete a subscription and its backlog; those who wait on it get NOT_FOUND."""
        name = require_resource_name(request.subscription, "subscriptions")
        await self._storage.run(self._storage.subscriptions.delete, name)
        self._arrivals.announce([name])

    async def pull(
        self, request: types.PullRequest, context: grpc.aio.ServicerContext
    ) -> types.PullResponse:
        """Lease messages; without one, wait for it and answer empty a second before the deadline.

        The wait ends with the first message; it lasts 90 seconds for a caller without a deadline.
        """
        name = require_resource_name(request.subscription, "subscriptions")
        if request.max_messages < 1:
            raise invalid_argument(
                f"No max_messages specified: {request.max_messages}, it must be at least 1"
            )
        loop = asyncio.get_running_loop()
        answer_by = loop.time() + _longest_wait(context)
        arrival = asyncio.Event()
        with self._arrivals.listening(name, arrival):
            while True:
                arrival.clear()
                result = await self._storage.run(
                    self._storage.deliveries.lease,
                    name,
                    max_messages=min(request.max_messages, MAXIMUM_RESPONSE_MESSAGES),
                    max_bytes=MAXIMUM_RESPONSE_BYTES,
                )
                self._arrivals.announce(result.woken_subscriptions)
                remaining = answer_by - loop.time()
                if result.messages or request.return_immediately or remaining <= 0:
                    if result.has_last_attempt:
                        self._last_leases_changed.set()
                    return fill_response(types.PullResponse(), result.messages)
                if result.next_available_at is not None:
                    due_in = (result.next_available_at - self._storage.clock.now()) / MICROSECONDS
                    remaining = min(remaining, max(0.0, due_in))
                await wait_for_event(arrival, remaining)

    async def streaming_pull(
        self,
        requests: AsyncIterator[types.StreamingPullRequest],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[types.StreamingPullResponse]:
        """Deliver messages as they come until the client closes the stream."""
        stream = StreamingPull(
            self._storage,
            self._arrivals,
            self._lease_ends,
            self._acknowledge,
            self._modify_ack_deadlines,
            self._last_leases_changed,
        )
        async for response in stream.responses(requests):
            yield response

    async def acknowledge(
        self, request: types.AcknowledgeRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Take messages out of the subscription durably, then answer."""
        name = require_resource_name(request.subscription, "subscriptions")
        if not request.ack_ids:
            raise invalid_argument("No ack ids specified.")
        await self._acknowledge(name, list(request.ack_ids))

    async def modify_ack_deadline(
        self, request: types.ModifyAckDeadlineRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Let leases end the given seconds from now; 0 gives the messages up at once."""
        name = require_resource_name(request.subscription, "subscriptions")
        ack_ids = list(request.ack_ids)
        if not ack_ids:
            raise invalid_argument("No ack ids specified")
        await self._modify_ack_deadlines(
            name, ack_ids, [request.ack_deadline_seconds] * len(ack_ids)
        )

    async def seek(
        self, request: types.SeekRequest, context: grpc.aio.ServicerContext
    ) -> types.SeekResponse:
        """Acknowledge all messages that were published before a time.

        Acknowledged messages are not retained, so that a seek never brings any back.
        """
        name = require_resource_name(request.subscription, "subscriptions")
        if request.snapshot:
            raise unimplemented("snapshots (snapshot)")
        if "time" not in request:
            raise invalid_argument(
                "No target was specified in the SeekRequest. Must specify either a time or a "
                "snapshot"
            )
        microseconds = (request.time - _EPOCH) // timedelta(microseconds=1)
        await self._storage.run(self._storage.deliveries.seek, name, microseconds)
        self._lease_ends.announce([name])
        return types.SeekResponse()

    async def _acknowledge(self, name: str, ack_ids: list[str]) -> None:
        await self._storage.run(self._storage.deliveries.acknowledge, name, ack_ids)
        self._lease_ends.announce([name])

    async def _modify_ack_deadlines(
        self, name: str, ack_ids: list[str], seconds: list[int]
    ) -> None:
        for length in seconds:
            if length < 0:
                raise invalid_argument(f"Ack deadline cannot be negative, it is {length}")
            if length > MAXIMUM_ACK_DEADLINE_SECONDS:
                raise invalid_argument(
                    f"Ack deadline cannot be more than {MAXIMUM_ACK_DEADLINE_SECONDS} seconds, it "
                    f"is {length}"
                )
        change = await self._storage.run(
            self._storage.deliveries.modify_ack_deadlines, name, ack_ids, seconds
        )
        # A lease that now ends earlier changes until when the waiting pulls have to wait.
        self._arrivals.announce(change.woken_subscriptions)
        self._lease_ends.announce([name])
        if change.has_last_attempt:
            self._last_leases_changed.set()


def _longest_wait(context: grpc.aio.ServicerContext) -> float:
    remaining = context.time_remaining()
    if remaining is None:
        return _LONGEST_PULL_SECONDS
    # A caller with a short deadline still waits: half of what it has.
    return min(_LONGEST_PULL_SECONDS, remaining - min(_ANSWER_SECONDS, remaining / 2))
