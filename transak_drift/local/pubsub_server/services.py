"""The google.pubsub.v1 services Publisher and Subscriber, by the types of google-cloud-pubsub.

google-cloud-pubsub has no generated server classes; gRPC's generic handlers need none.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import grpc
import proto
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.deliveries import Deliveries, Lease
from transak_drift.local.pubsub_server.limits import (
    MAX_RESPONSE_BYTES,
    MAX_RESPONSE_MESSAGES,
    check_lease_seconds,
    check_publish_request,
    check_topic,
    complete_subscription,
    page_size,
    require_project_name,
    require_resource_name,
)
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage

_log = logging.getLogger(__name__)
_MAX_PULL_SECONDS = 90.0
_ANSWER_SECONDS = 1.0
_RETENTION_CHECK_SECONDS = 60.0
_RETRY_SECONDS = 10.0

Context = grpc.aio.ServicerContext
_DeleteSubscription = types.DeleteSubscriptionRequest
Method = Callable[[Any, Context], Awaitable[proto.Message | None]]


class PubSubServices:
    """Methods of both services; used from one event loop."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._deliveries = Deliveries(storage)
        # Set at the next message of a subscription, for the pulls that wait on it.
        self._arrivals: dict[str, asyncio.Event] = {}
        # Set when a lease may now be the next whose end makes a dead letter.
        self._leases_changed = asyncio.Event()

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return the handlers to register with a gRPC server."""
        return (
            _service_handler(
                "google.pubsub.v1.Publisher",
                {
                    "CreateTopic": (self.create_topic, types.Topic),
                    "GetTopic": (self.get_topic, types.GetTopicRequest),
                    "ListTopics": (self.list_topics, types.ListTopicsRequest),
                    "DeleteTopic": (self.delete_topic, types.DeleteTopicRequest),
                    "Publish": (self.publish, types.PublishRequest),
                },
            ),
            _service_handler(
                "google.pubsub.v1.Subscriber",
                {
                    "CreateSubscription": (self.create_subscription, types.Subscription),
                    "GetSubscription": (self.get_subscription, types.GetSubscriptionRequest),
                    "ListSubscriptions": (self.list_subscriptions, types.ListSubscriptionsRequest),
                    "DeleteSubscription": (self.delete_subscription, _DeleteSubscription),
                    "Pull": (self.pull, types.PullRequest),
                    "Acknowledge": (self.acknowledge, types.AcknowledgeRequest),
                    "ModifyAckDeadline": (self.modify_ack_deadline, types.ModifyAckDeadlineRequest),
                },
            ),
        )

    async def create_topic(self, request: types.Topic, _: Context) -> types.Topic:
        check_topic(request)
        await self._storage.run(self._storage.create_topic, request)
        return request

    async def get_topic(self, request: types.GetTopicRequest, _: Context) -> types.Topic:
        name = require_resource_name(request.topic, "topics")
        return await self._storage.run(self._storage.get_topic, name)

    async def list_topics(
        self, request: types.ListTopicsRequest, _: Context
    ) -> types.ListTopicsResponse:
        names, token = await self._page(request, "topics")
        topics = [await self._storage.run(self._storage.get_topic, name) for name in names]
        return types.ListTopicsResponse(topics=topics, next_page_token=token)

    async def delete_topic(self, request: types.DeleteTopicRequest, _: Context) -> None:
        name = require_resource_name(request.topic, "topics")
        await self._storage.run(self._storage.delete_topic, name)

    async def publish(self, request: types.PublishRequest, _: Context) -> types.PublishResponse:
        """Store messages durably, then answer with their ids."""
        name = require_resource_name(request.topic, "topics")
        check_publish_request(request)
        contents: list[bytes] = []
        for message in types.PublishRequest.pb(request).messages:
            # Both are the server's to give, whatever the publisher wrote into them.
            message.ClearField("message_id")
            message.ClearField("publish_time")
            contents.append(message.SerializeToString())
        message_ids, subscriptions = await self._storage.run(self._storage.publish, name, contents)
        self._announce(subscriptions)
        return types.PublishResponse(message_ids=[str(number) for number in message_ids])

    async def create_subscription(
        self, request: types.Subscription, _: Context
    ) -> types.Subscription:
        complete_subscription(request)
        await self._storage.run(self._storage.create_subscription, request)
        return request

    async def get_subscription(
        self, request: types.GetSubscriptionRequest, _: Context
    ) -> types.Subscription:
        name = require_resource_name(request.subscription, "subscriptions")
        return (await self._storage.run(self._storage.subscription, name))[1]

    async def list_subscriptions(
        self, request: types.ListSubscriptionsRequest, _: Context
    ) -> types.ListSubscriptionsResponse:
        names, token = await self._page(request, "subscriptions")
        found = [await self._storage.run(self._storage.subscription, name) for name in names]
        return types.ListSubscriptionsResponse(
            subscriptions=[subscription for _, subscription in found], next_page_token=token
        )

    async def delete_subscription(self, request: _DeleteSubscription, _: Context) -> None:
        """Delete a subscription and its backlog; the pulls that wait on it get NOT_FOUND."""
        name = require_resource_name(request.subscription, "subscriptions")
        await self._storage.run(self._storage.delete_subscription, name)
        self._announce([name])

    async def pull(self, request: types.PullRequest, context: Context) -> types.PullResponse:
        """Lease messages; without one, wait for it and answer empty a second before the deadline.

        The wait ends with the first message; it lasts 90 seconds for a caller without a deadline.
        """
        name = require_resource_name(request.subscription, "subscriptions")
        if request.max_messages < 1:
            raise InvalidArgument(
                f"No max_messages specified: {request.max_messages}, it must be at least 1"
            )
        max_messages = min(request.max_messages, MAX_RESPONSE_MESSAGES)
        loop = asyncio.get_running_loop()
        answer_by = loop.time() + _max_wait_seconds(context)
        while True:
            # Taken before the look at the storage, so that what changes afterwards wakes the pull.
            arrival = self._arrivals.setdefault(name, asyncio.Event())
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
        self._announce([name])
        self._leases_changed.set()

    async def maintain(self) -> None:
        """Forward dead letters though nobody pulls, and drop what is outdated, until cancelled."""
        loop = asyncio.get_running_loop()
        next_retention_check = loop.time()
        while True:
            self._leases_changed.clear()
            try:
                woken, next_end = await self._storage.run(self._deliveries.forward_dead_letters)
                self._announce(woken)
                if loop.time() >= next_retention_check:
                    await self._storage.run(self._deliveries.drop_outdated)
                    next_retention_check = loop.time() + _RETENTION_CHECK_SECONDS
                pause = next_retention_check - loop.time()
                if next_end is not None:
                    pause = min(pause, (next_end - self._storage.clock()) / MICROSECONDS)
            except sqlite3.Error:
                _log.exception("dead letters or outdated messages are left; trying again later")
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leases_changed.wait(), max(0.0, pause))

    async def _page(
        self, request: types.ListTopicsRequest | types.ListSubscriptionsRequest, collection: str
    ) -> tuple[list[str], str]:
        project, size = require_project_name(request.project), page_size(request.page_size)
        return await self._storage.run(
            self._storage.names, collection, project, request.page_token, size
        )

    def _announce(self, subscriptions: Iterable[str]) -> None:
        for subscription in subscriptions:
            if event := self._arrivals.pop(subscription, None):
                event.set()


def _service_handler(
    service: str, methods: Mapping[str, tuple[Method, type[proto.Message]]]
) -> grpc.GenericRpcHandler:
    """Return the handler of a service; gRPC answers UNIMPLEMENTED for its other methods."""
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _answering(name, method),
                request_deserializer=request_type.deserialize,
                response_serializer=_serialize,
            )
            for name, (method, request_type) in methods.items()
        },
    )


def _answering(name: str, method: Method) -> Method:
    async def answer(request: Any, context: Context) -> proto.Message | None:
        try:
            return await method(request, context)
        except GoogleAPICallError as error:
            await context.abort(error.grpc_status_code or grpc.StatusCode.UNKNOWN, error.message)
        except Exception:
            _log.exception("%s failed", name)
            problem = f"The embedded Pub/Sub server failed on {name}; see its log"
            await context.abort(grpc.StatusCode.INTERNAL, problem)

    return answer


def _serialize(response: proto.Message | None) -> bytes:
    # None is google.protobuf.Empty, whose encoding has no bytes.
    return b"" if response is None else type(response).serialize(response)


def _deliveries_of(
    request: types.AcknowledgeRequest | types.ModifyAckDeadlineRequest,
) -> tuple[str, list[str]]:
    name = require_resource_name(request.subscription, "subscriptions")
    if not request.ack_ids:
        raise InvalidArgument("No ack ids specified.")
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
