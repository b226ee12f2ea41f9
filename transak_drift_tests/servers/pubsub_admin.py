"""Topics, subscriptions and their IAM on loopback: what `transak-drift doctor` reads of Pub/Sub.

The embedded Pub/Sub server, like Google's emulator, has no IAM; this one has nothing else.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.pubsub_v1 import types

from transak_drift_tests.servers.faults import Faults
from transak_drift_tests.servers.rpc import Recorder, service_handler
from transak_drift_tests.servers.status import not_found


class LoopbackPubSubAdmin:
    """Serves descriptions of topics and subscriptions.

    Attributes:
        endpoint: `127.0.0.1:port`, as PUBSUB_EMULATOR_HOST takes it.
        topics: names of the topics.
        subscriptions: by name.
        publishers: by topic the principals that may publish.
        permissions: what the caller may do.
        faults: what is ordered for coming calls.
        recorder: the calls that arrived.
    """

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.subscriptions: dict[str, types.Subscription] = {}
        self.publishers: dict[str, set[str]] = {}
        self.permissions = {"pubsub.subscriptions.consume", "pubsub.topics.publish"}
        self.faults = Faults()
        self.recorder = Recorder()
        self.endpoint = ""
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        server = grpc.server(ThreadPoolExecutor(max_workers=4))
        lock = threading.RLock()
        for service, methods in {
            "google.pubsub.v1.Publisher": {"GetTopic": (types.GetTopicRequest, self._topic)},
            "google.pubsub.v1.Subscriber": {
                "GetSubscription": (types.GetSubscriptionRequest, self._subscription)
            },
            "google.iam.v1.IAMPolicy": {
                "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, self._policy),
                "TestIamPermissions": (iam_policy_pb2.TestIamPermissionsRequest, self._test),
            },
        }.items():
            handler = service_handler(service, methods, self.faults, self.recorder, lock)
            server.add_generic_rpc_handlers([handler])
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

    def _topic(self, request: Any) -> types.Topic:
        if request.topic not in self.topics:
            raise not_found(request.topic)
        return types.Topic(name=request.topic)

    def _subscription(self, request: Any) -> types.Subscription:
        found = self.subscriptions.get(request.subscription)
        if found is None:
            raise not_found(request.subscription)
        return found

    def _policy(self, request: Any) -> policy_pb2.Policy:
        members = sorted(self.publishers.get(request.resource, set()))
        binding = policy_pb2.Binding(role="roles/pubsub.publisher", members=members)
        return policy_pb2.Policy(bindings=[binding])

    def _test(self, request: Any) -> iam_policy_pb2.TestIamPermissionsResponse:
        granted = [item for item in request.permissions if item in self.permissions]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)
