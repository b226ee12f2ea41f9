"""The google.pubsub.v1.Subscriber service: subscriptions, delivery and acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import grpc
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.deliveries import Deliveries, Lease
from transak_drift.local.pubsub_server.limits import (
    MAX_RESPONSE_BYTES,
    MAX_RESPONSE_MESSAGES,
    check_lease_seconds,
    complete_subscription,
    page_size,
    require_project_name,
    require_resource_name,
)
from transak_drift.local.pubsub_server.rpc import Context, invalid_argument, service_handler
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage

_MAX_PULL_SECONDS = 90.0
_ANSWER_SECONDS = 1.0


class Arrivals:
    """Wakes the pulls that wait on a subscription; used from one event loop.

    A pull takes the event before it looks at the storage, so that what changes afterwards wakes it.
    """

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def next_event(self, subscription: str) -> asyncio.Event:
        """Return what is set at the next announcement."""
        return self._events.setdefault(subscription, asyncio.Event())

    def announce(self, subscriptions: Iterable[str]) -> None:
        """Wake all who wait on one of the subscriptions."""
        for subscription in subscriptions:
            event = self._events.pop(subscription, None)
            if event is not None:
                event.set()


class Subscriber:
    """Methods of the service.

    Args:
        storage: where subscriptions are kept.
        deliveries: where messages are leased.
        arrivals: wakes waiting pulls, and is told of messages given back.
        leases_changed: set when a lease may now be the next whose end makes a dead letter.
    """

    def __init__(
        self,
        storage: Storage,
        deliveries: Deliveries,
        arrivals: Arrivals,
        leases_changed: asyncio.Event,
    ) -> None:
        self._storage = storage
        self._deliveries = deliveries
        self._arrivals = arrivals
        self._leases_changed = leases_changed

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler to register with a gRPC server."""
        return service_handler(
            "google.pubsub.v1.Subscriber",
            {
                "CreateSubscription": (self.create_subscription, types.Subscription),
                "GetSubscription": (self.get_subscription, types.GetSubscriptionRequest),
                "ListSubscriptions": (self.list_subscriptions, types.ListSubscriptionsRequest),
                "DeleteSubscription": (self.delete_subscription, types.DeleteSubscriptionRequest),
                "Pull": (self.pull, types.PullRequest),
                "Acknowledge": (self.acknowledge, types.AcknowledgeRequest),
                "ModifyAckDeadline": (self.modify_ack_deadline, types.ModifyAckDeadlineRequest),
            },
        )

    async def create_subscription(
        self, request: types.Subscription, _: Context
    ) -> types.Subscription:
        """Create a subscription; it gets the messages published from now on."""
        complete_subscription(request)
        await self._storage.run(self._storage.create_subscription, request)
        return request

    async def get_subscription(
        self, request: types.GetSubscriptionRequest, _: Context
    ) -> types.Subscription:
        """Return a subscription."""
        name = require_resource_name(request.subscription, "subscriptions")
        return await self._storage.run(self._storage.get_subscription, name)

    async def list_subscriptions(
        self, request: types.ListSubscriptionsRequest, _: Context
    ) -> types.ListSubscriptionsResponse:
        """Return a page of a project's subscriptions, by name."""
        subscriptions, next_token = await self._storage.run(
            self._storage.list_subscriptions,
            require_project_name(request.project),
            request.page_token,
            page_size(request.page_size),
        )
        return types.ListSubscriptionsResponse(
            subscriptions=subscriptions, next_page_token=next_token
        )

    async def delete_subscription(
        self, request: types.DeleteSubscriptionRequest, _: Context
    ) -> None:
        """Delete a subscription and its backlog; the pulls that wait on it get NOT_FOUND."""
        name = require_resource_name(request.subscription, "subscriptions")
        await self._storage.run(self._storage.delete_subscription, name)
        self._arrivals.announce([name])

    async def pull(self, request: types.PullRequest, context: Context) -> types.PullResponse:
        """Lease messages; without one, wait for it and answer empty a second before the deadline.

        The wait ends with the first message; it lasts 90 seconds for a caller without a deadline.
        """
        name = require_resource_name(request.subscription, "subscriptions")
        if request.max_messages < 1:
            raise invalid_argument(
                f"No max_messages specified: {request.max_messages}, it must be at least 1"
            )
        max_messages = min(request.max_messages, MAX_RESPONSE_MESSAGES)
        loop = asyncio.get_running_loop()
        answer_by = loop.time() + _max_wait_seconds(context)
        while True:
            arrival = self._arrivals.next_event(name)
            subscription, leases, next_available_at = await self._storage.run(
                self._deliveries.lease, name, max_messages, MAX_RESPONSE_BYTES
            )
            remaining = answer_by - loop.time()
            if leases or request.return_immediately or remaining <= 0:
                max_attempts = subscription.dead_letter_policy.max_delivery_attempts
                if max_attempts and any(lease.attempt >= max_attempts for lease in leases):
                    self._leases_changed.set()
                return _pull_response(leases, counts_attempts=max_attempts > 0)
            if next_available_at is not None:
                due_in = (next_available_at - self._storage.clock()) / MICROSECONDS
                remaining = min(remaining, max(0.0, due_in))
            with suppress(TimeoutError):
                await asyncio.wait_for(arrival.wait(), remaining)

    async def acknowledge(self, request: types.AcknowledgeRequest, _: Context) -> None:
        """Take messages out of the subscription durably, then answer."""
        name, ack_ids = _deliveries_of(request)
        await self._storage.run(self._deliveries.acknowledge, name, ack_ids)

    async def modify_ack_deadline(
        self, request: types.ModifyAckDeadlineRequest, _: Context
    ) -> None:
        """Let leases end the given seconds from now; 0 gives the messages back at once."""
        name, ack_ids = _deliveries_of(request)
        check_lease_seconds(request.ack_deadline_seconds)
        await self._storage.run(
            self._deliveries.modify_ack_deadlines, name, ack_ids, request.ack_deadline_seconds
        )
        # A lease that ends earlier changes until when pulls, and dead letters, have to wait.
        self._arrivals.announce([name])
        self._leases_changed.set()


def _deliveries_of(
    request: types.AcknowledgeRequest | types.ModifyAckDeadlineRequest,
) -> tuple[str, list[str]]:
    name = require_resource_name(request.subscription, "subscriptions")
    if not request.ack_ids:
        raise invalid_argument("No ack ids specified.")
    return name, list(request.ack_ids)


def _pull_response(leases: list[Lease], *, counts_attempts: bool) -> types.PullResponse:
    response = types.PullResponse()
    # Not through the types of proto-plus: they wrap each field at each look.
    received_messages = types.PullResponse.pb(response).received_messages
    for lease in leases:
        received = received_messages.add(ack_id=lease.ack_id)
        if counts_attempts:
            received.delivery_attempt = lease.attempt
        received.message.ParseFromString(lease.content)
        received.message.message_id = str(lease.message_id)
        received.message.publish_time.FromMicroseconds(lease.publish_time)
    return response


def _max_wait_seconds(context: Context) -> float:
    remaining = context.time_remaining()
    if remaining is None:
        return _MAX_PULL_SECONDS
    # A caller with a short deadline still waits: half of what it has.
    return min(_MAX_PULL_SECONDS, remaining - min(_ANSWER_SECONDS, remaining / 2))
