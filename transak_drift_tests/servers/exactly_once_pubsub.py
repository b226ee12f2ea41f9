"""A Pub/Sub server on loopback whose subscription delivers exactly once.

Written from the documentation of "Exactly-once delivery": an ack id that has expired, or is not the
message's latest, makes the call fail with INVALID_ARGUMENT, reason EXACTLY_ONCE_ACKID_FAILURE, and
an ErrorInfo whose metadata names each refused id. What is not documented is a parameter.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.pubsub_v1 import types
from google.rpc import error_details_pb2

from transak_drift_tests.servers.grpc_server import GrpcServer, Methods, RefusedError, invalid

PERMANENT = "PERMANENT_FAILURE_INVALID_ACK_ID"
TRANSIENT = "TRANSIENT_FAILURE_UNORDERED_ACK_ID"


class ExactlyOncePubSub(GrpcServer):
    """One topic's messages and one subscription, whatever their names.

    Attributes:
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
        super().__init__()
        self._settles_unnamed = settles_unnamed
        self._settles_twice = settles_twice
        self._refuses = refuses
        self._acknowledged: set[str] = set()
        self._busy: Counter[str] = Counter()
        self._bodies: dict[str, bytes] = {}
        self.waiting: dict[str, bytes] = {}
        self.leased: dict[str, str] = {}
        self.settled: set[str] = set()
        self.published: list[list[types.PubsubMessage]] = []

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

    def services(self) -> Mapping[str, Methods]:
        subscriber = {
            "GetSubscription": self._subscription,
            "Pull": self._pull,
            "Acknowledge": self._acknowledge,
            "ModifyAckDeadline": self._modify,
        }
        return {
            "google.pubsub.v1.Publisher": (types, {"Publish": self._publish}),
            "google.pubsub.v1.Subscriber": (types, subscriber),
        }

    def _publish(self, request: Any) -> types.PublishResponse:
        messages = list(request.messages)
        if any(self._refuses(message) for message in messages):
            raise invalid("a message breaks the topic's schema")
        self.published.append(messages)
        return types.PublishResponse(message_ids=[uuid.uuid4().hex for _ in messages])

    def _subscription(self, request: Any) -> types.Subscription:
        return types.Subscription(
            name=request.subscription,
            topic="projects/p/topics/t",
            enable_exactly_once_delivery=True,
        )

    def _pull(self, request: Any) -> types.PullResponse:
        received = []
        for message_id in list(self.waiting)[: request.max_messages]:
            # Ack ids of Pub/Sub have about so many characters.
            ack_id = uuid.uuid4().hex * 6
            self.leased[ack_id] = message_id
            message = types.PubsubMessage(data=self.waiting.pop(message_id), message_id=message_id)
            received.append(types.ReceivedMessage(ack_id=ack_id, message=message))
        return types.PullResponse(received_messages=received)

    def _acknowledge(self, request: Any) -> None:
        def acknowledge(ack_id: str) -> None:
            self.settled.add(self.leased.pop(ack_id))
            self._acknowledged.add(ack_id)

        self._settle(request.ack_ids, acknowledge)

    def _modify(self, request: Any) -> None:
        def give_back(ack_id: str) -> None:
            if request.ack_deadline_seconds == 0:
                self.expire([ack_id])

        self._settle(request.ack_ids, give_back)

    def _settle(self, ack_ids: Sequence[str], act: Callable[[str], None]) -> None:
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
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "Some acknowledgement ids are invalid.",
                error_details_pb2.ErrorInfo(
                    reason="EXACTLY_ONCE_ACKID_FAILURE",
                    domain="pubsub.googleapis.com",
                    metadata=refused,
                ),
            )
