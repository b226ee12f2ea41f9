"""The google.pubsub.v1 services Publisher and Subscriber, by the types of google-cloud-pubsub.

google-cloud-pubsub has no generated server classes; gRPC's generic handlers need none. The messages
are plain protobuf: the types of proto-plus wrap each field at each look.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import grpc
import proto
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.limits import (
    MAX_RESPONSE_BYTES,
    MAX_RESPONSE_MESSAGES,
    check_publish_request,
    check_range,
    check_topic,
    complete_subscription,
)
from transak_drift.local.pubsub_server.storage import Storage

_log = logging.getLogger(__name__)
_MAX_PULL_SECONDS = 90.0
_ANSWER_SECONDS = 1.0
_MAX_ACK_DEADLINE_SECONDS = 600
_MAINTENANCE_SECONDS = 1.0

# A method gets a request and its context, and returns the response, or None for an empty one.
Methods = Mapping[str, tuple[type[proto.Message], Callable[[Any, grpc.aio.ServicerContext], Any]]]


class PubSubServices:
    """The methods of both services.

    The storage is used from the event loop alone, which a commit holds up for as long as the disk
    takes: nothing could be answered meanwhile anyway.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        # Set, and replaced, when there may be something for the pulls that wait.
        self._changed = asyncio.Event()

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return the handlers to register with a gRPC server."""
        storage = self._storage
        publisher: Methods = {
            "CreateTopic": (types.Topic, self._create_topic),
            "GetTopic": (types.GetTopicRequest, lambda r, _: storage.topic(r.topic)),
            "ListTopics": (types.ListTopicsRequest, lambda r, _: storage.topics(r)),
            "DeleteTopic": (types.DeleteTopicRequest, lambda r, _: storage.delete_topic(r.topic)),
            "Publish": (types.PublishRequest, self._publish),
        }
        subscriber: Methods = {
            "CreateSubscription": (types.Subscription, self._create_subscription),
            "GetSubscription": (
                types.GetSubscriptionRequest,
                lambda r, _: storage.subscription(r.subscription)[1],
            ),
            "ListSubscriptions": (
                types.ListSubscriptionsRequest,
                lambda r, _: storage.subscriptions(r),
            ),
            "DeleteSubscription": (types.DeleteSubscriptionRequest, self._delete_subscription),
            "Pull": (types.PullRequest, self._pull),
            "Acknowledge": (
                types.AcknowledgeRequest,
                lambda r, _: storage.acknowledge(r.subscription, r.ack_ids),
            ),
            "ModifyAckDeadline": (types.ModifyAckDeadlineRequest, self._modify_ack_deadline),
        }
        return (
            _service_handler("google.pubsub.v1.Publisher", publisher),
            _service_handler("google.pubsub.v1.Subscriber", subscriber),
        )

    async def maintain(self) -> None:
        """Forward dead letters though nobody pulls, and drop what is outdated, until cancelled."""
        while True:
            try:
                self._storage.maintain()
            except sqlite3.Error as error:
                _log.error("dead letters or outdated messages are left for now: %s", error)
            self._wake_pulls()  # Leases may have ended as well.
            await asyncio.sleep(_MAINTENANCE_SECONDS)

    def _create_topic(self, request: Any, _: object) -> Any:
        check_topic(request)
        self._storage.create_topic(request)
        return request

    def _publish(self, request: Any, _: object) -> Any:
        check_publish_request(request)
        message_ids = self._storage.publish(request.topic, request.messages)
        self._wake_pulls()
        return types.PublishResponse.pb()(message_ids=[str(number) for number in message_ids])

    def _create_subscription(self, request: Any, _: object) -> Any:
        complete_subscription(request)
        self._storage.create_subscription(request)
        return request

    def _delete_subscription(self, request: Any, _: object) -> None:
        self._storage.delete_subscription(request.subscription)
        self._wake_pulls()  # Those that wait on it get NOT_FOUND.

    async def _pull(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Lease messages; without one, wait for it and answer empty a second before the deadline.

        The wait ends with the first message.
        """
        if request.max_messages < 1:
            raise InvalidArgument("No max_messages specified: it must be at least 1")
        bounds = (min(request.max_messages, MAX_RESPONSE_MESSAGES), MAX_RESPONSE_BYTES)
        loop = asyncio.get_running_loop()
        answer_by = loop.time() + _max_wait_seconds(context)
        while True:
            response = self._storage.lease(request.subscription, *bounds)
            remaining = answer_by - loop.time()
            if response.received_messages or remaining <= 0:
                return response
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), remaining)

    def _modify_ack_deadline(self, request: Any, _: object) -> None:
        seconds = request.ack_deadline_seconds
        check_range("ack_deadline_seconds", seconds, 0, _MAX_ACK_DEADLINE_SECONDS)
        self._storage.modify_ack_deadlines(request.subscription, request.ack_ids, seconds)
        self._storage.maintain()
        self._wake_pulls()

    def _wake_pulls(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _service_handler(service: str, methods: Methods) -> grpc.GenericRpcHandler:
    """Return the handler of a service; gRPC answers UNIMPLEMENTED for its other methods."""
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _answering(name, method),
                request_deserializer=request_type.pb().FromString,
                response_serializer=_serialize,
            )
            for name, (request_type, method) in methods.items()
        },
    )


def _answering(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            response = method(request, context)
            return await response if asyncio.iscoroutine(response) else response
        except GoogleAPICallError as error:
            await context.abort(error.grpc_status_code or grpc.StatusCode.UNKNOWN, error.message)
        except Exception:
            _log.exception("%s failed", name)
            problem = f"The embedded Pub/Sub server failed on {name}; see its log"
            await context.abort(grpc.StatusCode.INTERNAL, problem)

    return answer


def _serialize(response: Any) -> bytes:
    # None is google.protobuf.Empty, whose encoding has no bytes.
    return b"" if response is None else response.SerializeToString()


def _max_wait_seconds(context: grpc.aio.ServicerContext) -> float:
    remaining = context.time_remaining() or _MAX_PULL_SECONDS
    # A caller with a short deadline still waits: half of what it has.
    return min(_MAX_PULL_SECONDS, remaining - min(_ANSWER_SECONDS, remaining / 2))
