"""Topics, subscriptions and their IAM on loopback: what `transak-drift doctor` reads of Pub/Sub.

The embedded Pub/Sub server, like Google's emulator, has no IAM; this one has nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.pubsub_v1 import types

from transak_drift_tests.servers.grpc_server import GrpcServer, Methods, not_found


class LoopbackPubSubAdmin(GrpcServer):
    """Serves descriptions of topics and subscriptions.

    Attributes:
        topics: names of the topics.
        subscriptions: by name.
        publishers: by topic the principals that may publish.
        permissions: what the caller may do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.topics: set[str] = set()
        self.subscriptions: dict[str, types.Subscription] = {}
        self.publishers: dict[str, set[str]] = {}
        self.permissions = {"pubsub.subscriptions.consume", "pubsub.topics.publish"}

    def services(self) -> Mapping[str, Methods]:
        policies = {"GetIamPolicy": self._policy, "TestIamPermissions": self._test}
        return {
            "google.pubsub.v1.Publisher": (types, {"GetTopic": self._topic}),
            "google.pubsub.v1.Subscriber": (types, {"GetSubscription": self._subscription}),
            "google.iam.v1.IAMPolicy": (iam_policy_pb2, policies),
        }

    def _topic(self, request: Any) -> types.Topic:
        if request.topic not in self.topics:
            raise not_found(request.topic)
        return types.Topic(name=request.topic)

    def _subscription(self, request: Any) -> types.Subscription:
        if request.subscription not in self.subscriptions:
            raise not_found(request.subscription)
        return self.subscriptions[request.subscription]

    def _policy(self, request: Any) -> policy_pb2.Policy:
        members = sorted(self.publishers.get(request.resource, set()))
        binding = policy_pb2.Binding(role="roles/pubsub.publisher", members=members)
        return policy_pb2.Policy(bindings=[binding])

    def _test(self, request: Any) -> iam_policy_pb2.TestIamPermissionsResponse:
        granted = [item for item in request.permissions if item in self.permissions]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)
