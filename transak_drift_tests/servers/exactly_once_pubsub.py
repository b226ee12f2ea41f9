"""A Pub/Sub server on loopback whose subscription delivers exactly once.

Written from the documentation of "Exactly-once delivery": an ack id that has expired, or is not the
message's latest, makes the call fail with INVALID_ARGUMENT, reason EXACTLY_ONCE_ACKID_FAILURE, and
an ErrorInfo whose metadata names each refused id. What is not documented is a parameter.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from google.pubsub_v1 import types
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

PERMANENT = "PERMANENT_FAILURE_INVALID_ACK_ID"
TRANSIENT = "TRANSIENT_FAILURE_UNORDERED_ACK_ID"


class ExactlyOncePubSub:
    """One topic's messages and one subscription, whatever their names.

    Attributes:
        endpoint: `127.0.0.1:port`.
        calls: how often each method was called.
        waiting: bodies that can be delivered, by message id.
        leased: message id by ack id that counts.
        settled: ids of the messages that are acknowledged.
        published: what was published, batch by batch.

    Args:
        settles_unnamed: whether a call that fails settles the ack ids that the error does not name.
        settles_twice: whether the ack id of an acknowledged message may be acknowledged again.
        refuses: whether a message may not be published; one such fails its whole request.
    """

    def __init__(
        self,
        *,
        settles_unnamed: bool = True,
        settles_twice: bool = True,
        refuses: Callable[[types.PubsubMessage], bool] = lambda message: False,
    ) -> None:
        self._settles_unnamed = settles_unnamed
        self._settles_twice = settles_twice
        self._refuses = refuses
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None
        self._acknowledged: set[str] = set()
        self._busy: Counter[str] = Counter()
        self.endpoint = ""
        self.calls: Counter[str] = Counter()
        self.waiting: dict[str, bytes] = {}
        self.leased: dict[str, str] = {}
        self.settled: set[str] = set()
        self.published: list[list[types.PubsubMessage]] = []
        self._bodies: dict[str, bytes] = {}

    def add_messages(self, bodies: Sequence[bytes]) -> None:
        """Let these bodies wait for delivery."""
        self._bodies |= {uuid.uuid4().hex: body for body in bodies}
        self.waiting |= self._bodies

    def expire(self, ack_ids: Sequence[str]) -> None:
        """Let leases end: the messages wait again, and their ack ids count no more."""
        for ack_id in ack_ids:
            message_id = self.leased.pop(ack_id)
            self.waiting[message_id] = self._bodies[message_id]

    def be_busy(self, ack_ids: Sequence[str], times: int) -> None:
        """Refuse ack ids for now, so often."""
        self._busy.update(dict.fromkeys(ack_ids, times))

    def __enter__(self) -> Self:
        server = grpc.server(ThreadPoolExecutor(max_workers=4))
        for service, methods in {
            "google.pubsub.v1.Publisher": {"Publish": (types.PublishRequest, self._publish)},
            "google.pubsub.v1.Subscriber": {
                "GetSubscription": (types.GetSubscriptionRequest, self._subscription),
                "Pull": (types.PullRequest, self._pull),
                "Acknowledge": (types.AcknowledgeRequest, self._acknowledge),
                "ModifyAckDeadline": (types.ModifyAckDeadlineRequest, self._modify),
            },
        }.items():
            server.add_generic_rpc_handlers(
                [
                    grpc.method_handlers_generic_handler(
                        service,
                        {name: self._handler(name, *method) for name, method in methods.items()},
                    )
                ]
            )
        self.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self._server = server
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.stop(grace=None).wait()

    def _handler(
        self, name: str, request_type: Any, method: Callable[..., Any]
    ) -> grpc.RpcMethodHandler:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            with self._lock:
                self.calls[name] += 1
                return method(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_type.deserialize,
            response_serializer=lambda reply: (
                b"" if reply is None else type(reply).serialize(reply)
            ),
        )

    def _publish(self, request: Any, context: grpc.ServicerContext) -> types.PublishResponse:
        messages = list(request.messages)
        if any(self._refuses(message) for message in messages):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a message breaks the topic's schema")
        self.published.append(messages)
        return types.PublishResponse(message_ids=[uuid.uuid4().hex for _ in messages])

    def _subscription(self, request: Any, context: grpc.ServicerContext) -> types.Subscription:
        return types.Subscription(
            name=request.subscription,
            topic="projects/p/topics/t",
            enable_exactly_once_delivery=True,
        )

    def _pull(self, request: Any, context: grpc.ServicerContext) -> types.PullResponse:
        received = []
        for message_id in list(self.waiting)[: request.max_messages]:
            # Ack ids of Pub/Sub have about so many characters.
            ack_id = uuid.uuid4().hex * 6
            self.leased[ack_id] = message_id
            message = types.PubsubMessage(data=self.waiting.pop(message_id), message_id=message_id)
            received.append(types.ReceivedMessage(ack_id=ack_id, message=message))
        return types.PullResponse(received_messages=received)

    def _acknowledge(self, request: Any, context: grpc.ServicerContext) -> None:
        def acknowledge(ack_id: str) -> None:
            self.settled.add(self.leased.pop(ack_id))
            self._acknowledged.add(ack_id)

        self._settle(list(request.ack_ids), context, acknowledge)

    def _modify(self, request: Any, context: grpc.ServicerContext) -> None:
        def give_back(ack_id: str) -> None:
            if request.ack_deadline_seconds == 0:
                self.expire([ack_id])

        self._settle(list(request.ack_ids), context, give_back)

    def _settle(
        self, ack_ids: list[str], context: grpc.ServicerContext, act: Callable[[str], None]
    ) -> None:
        refused = {}
        for ack_id in ack_ids:
            if ack_id in self._acknowledged and self._settles_twice:
                continue
            if ack_id not in self.leased:
                refused[ack_id] = PERMANENT
            elif self._busy[ack_id] > 0:
                self._busy[ack_id] -= 1
                refused[ack_id] = TRANSIENT
        if not refused or self._settles_unnamed:
            for ack_id in ack_ids:
                if ack_id in self.leased and ack_id not in refused:
                    act(ack_id)
        if refused:
            status = status_pb2.Status(
                code=code_pb2.INVALID_ARGUMENT, message="Some acknowledgement ids are invalid."
            )
            status.details.add().Pack(
                error_details_pb2.ErrorInfo(
                    reason="EXACTLY_ONCE_ACKID_FAILURE",
                    domain="pubsub.googleapis.com",
                    metadata=refused,
                )
            )
            context.abort_with_status(rpc_status.to_status(status))
