"""Clients of Pub/Sub: Google's service, or any server of the same API on a given endpoint."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from google.api_core import exceptions, retry
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from transak_drift.google_cloud.session import load_credentials
from transak_drift.platform import PlatformError, TemporaryPlatformError

# A message has up to 10 MB, above gRPC's own limit of 4 MB.
_CHANNEL_OPTIONS = (
    # The server is on this machine or named by the user; a proxy could only be in the way.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # An error names each ack id that it refuses; Google's own channels have this limit.
    ("grpc.max_metadata_size", 4 * 1024 * 1024),
    # A process keeps its clients: they find a server again soon after it was away.
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
# The codes that Pub/Sub documents as retryable.
_RETRIED = (
    exceptions.Aborted,
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
)
RETRY = retry.Retry(
    predicate=retry.if_exception_type(*_RETRIED),
    initial=0.1,
    maximum=5.0,
    multiplier=2.0,
    timeout=30.0,
)
CALL_OPTIONS: dict[str, Any] = {"retry": RETRY, "timeout": 20.0}
"""Of a method of a client: a call is repeated for 30 seconds in all."""


@contextmanager
def pubsub_errors(resource: str, role: str) -> Generator[None]:
    """Turn the client's errors into `PlatformError`s that name the resource, the role and the fix.

    Where Pub/Sub did not answer in time, and the same call may work later, it is a temporary one.
    """
    try:
        yield
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        cause = getattr(error, "cause", None) or error
        text = str(getattr(cause, "message", cause)).strip().partition("\n")[0][:500]
        kind, problem = PlatformError, f"{resource}: {type(cause).__name__}: {text}"
        if isinstance(cause, (*_RETRIED, exceptions.DeadlineExceeded)):
            kind = TemporaryPlatformError
            problem = f"Pub/Sub did not answer in time for {problem}"
        elif isinstance(cause, exceptions.NotFound):
            problem = (
                f"{resource} does not exist: run `terraform apply` in terraform/, and check "
                f"project_id and the names in the configuration. Pub/Sub said: {text}"
            )
        elif isinstance(cause, exceptions.Forbidden):
            problem = (
                f"permission denied on {resource}: grant {role} on it to the account that runs "
                f"this. Pub/Sub said: {text}"
            )
        raise kind(problem) from error


class PubSubClients(NamedTuple):
    """The two clients of one server, each call of which returns when the server has answered."""

    publisher: PublisherClient
    subscriber: SubscriberClient

    def close(self) -> None:
        """Close both channels."""
        self.publisher.transport.close()
        self.subscriber.transport.close()


def connect(endpoint: str | None, service_account: str | None = None) -> PubSubClients:
    """Connect to `host:port` without encryption (the embedded server, or Google's emulator).

    None connects to Google Cloud with application default credentials, or as the service account.
    """
    if endpoint is None:
        credentials = load_credentials(service_account)
        return PubSubClients(
            PublisherClient(credentials=credentials), SubscriberClient(credentials=credentials)
        )
    to_publish, to_pull = (grpc.insecure_channel(endpoint, _CHANNEL_OPTIONS) for _ in range(2))
    return PubSubClients(
        PublisherClient(transport=PublisherGrpcTransport(channel=to_publish)),
        SubscriberClient(transport=SubscriberGrpcTransport(channel=to_pull)),
    )
