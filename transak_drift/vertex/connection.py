"""How Vertex AI is called: where and as whom, with which clients, deadlines and retries.

A write is as safe to repeat as a read: each creation names its id, so that the repetition of one
that had been done answers ALREADY_EXISTS, and an update sets fields to given values.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry, exponential_sleep_generator, if_exception_type
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
from google.cloud.aiplatform_v1beta1.services.job_service import JobServiceClient
from google.cloud.aiplatform_v1beta1.services.model_monitoring_service import (
    ModelMonitoringServiceClient,
)

from transak_drift.google_cloud.credentials import load_credentials
from transak_drift.platform import PlatformError
from transak_drift.vertex.errors import TEMPORARY, Access, explained

_PAGE_SIZE = 100
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class VertexEndpoint:
    """Where Vertex AI is reached, and as whom.

    Args:
        project_id: the project whose resources are used.
        location: region, e.g. `europe-west6`.
        address: `host:port` in place of the region's own endpoint, or None. On loopback it is
            spoken to without encryption and without credentials, anywhere else with both.
        service_account: e-mail of the service account to act as, or None to act as the
            application default credentials say.

    Raises:
        PlatformError: the address is not `host:port`.
    """

    project_id: str
    location: str
    address: str | None = None
    service_account: str | None = None

    def __post_init__(self) -> None:
        if self.address is not None and _ADDRESS.fullmatch(self.address) is None:
            raise PlatformError(
                f"the Vertex AI endpoint {self.address!r} is not host:port; write "
                "TRANSAK_DRIFT_VERTEX_ENDPOINT as e.g. 127.0.0.1:8080, or unset it"
            )

    @property
    def parent(self) -> str:
        return f"projects/{self.project_id}/locations/{self.location}"

    @property
    def host(self) -> str:
        return self.address or f"{self.location}-aiplatform.googleapis.com"

    @property
    def is_loopback(self) -> bool:
        host = (self.address or "").rpartition(":")[0].strip("[]")
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long calls may take.

    Args:
        attempt_seconds: deadline of one attempt.
        total_seconds: time in which attempts are repeated; less than the 60 s that Dagster gives
            the tick of a sensor.
        first_wait_seconds: wait before the second attempt; it doubles with each, with jitter.
        max_wait_seconds: no wait is longer.
        operation_seconds: how long a long-running operation is waited for.
        first_poll_seconds: wait before an operation or a job is looked at again; it grows.
        max_poll_seconds: no such wait is longer.
    """

    attempt_seconds: float = 20.0
    total_seconds: float = 45.0
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 15.0
    operation_seconds: float = 300.0
    first_poll_seconds: float = 0.5
    max_poll_seconds: float = 30.0

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments `retry` and `timeout` of a generated client's method."""
        retry = Retry(
            predicate=if_exception_type(*TEMPORARY),
            initial=self.first_wait_seconds,
            maximum=self.max_wait_seconds,
            multiplier=2.0,
            timeout=self.total_seconds,
        )
        # A number would be one deadline for all attempts, so that a first answer that never comes
        # would leave no time for a second attempt.
        return {
            "retry": retry,
            "timeout": functools.partial(_with_deadline, seconds=self.attempt_seconds),
        }

    def poll_waits(self) -> Iterator[float]:
        """Return the waits between two looks at an operation or a job, in seconds, endlessly."""
        return exponential_sleep_generator(
            self.first_poll_seconds, self.max_poll_seconds, multiplier=1.5
        )


class VertexConnection:
    """The clients of one location; each is connected when it is first used."""

    def __init__(self, endpoint: VertexEndpoint, limits: CallLimits | None = None) -> None:
        self.endpoint = endpoint
        self.limits = limits or CallLimits()
        self._channel: grpc.Channel | None = None

    def call(
        self, method: Callable[..., Any], permission: str, resource: str, **request: Any
    ) -> Any:
        """Call a client's method, which needs a permission on a resource, within the limits.

        Raises:
            PlatformError: the call is refused, or not answered in time.
            google.api_core.exceptions.AlreadyExists: that is the answer.
        """
        with self.explained(permission, resource):
            return method(request=request, **self.limits.options())

    def find(self, method: Callable[..., Any], permission: str, name: str) -> Any | None:
        """Get a resource with a call as `call` makes it; None where it does not exist."""
        try:
            return self.call(method, permission, name.partition("@")[0], name=name)
        except PlatformError as error:
            if isinstance(error.__cause__, exceptions.NotFound):
                return None
            raise

    def list_all(
        self, method: Callable[..., Any], permission: str, resource: str, **request: Any
    ) -> list[Any]:
        """Read every page of a list, with a call as `call` makes it for each."""
        # The pages are read with further calls, so their errors are explained as well.
        with self.explained(permission, resource):
            return list(self.call(method, permission, resource, **request, page_size=_PAGE_SIZE))

    def explained(self, permission: str, resource: str) -> AbstractContextManager[None]:
        """Turn the errors of the calls in a block into `PlatformError`."""
        account = self.endpoint.service_account
        caller = f"serviceAccount:{account}" if account else None
        return explained(Access(permission, resource, caller))

    def wait_for(self, pending: Any, operations_client: Any, what: str) -> None:
        """Wait until a long-running operation is done.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: the operation failed.
            PlatformError: it is not done in time.
        """
        seconds = self.limits.operation_seconds
        deadline = time.monotonic() + seconds
        for wait in self.limits.poll_waits():
            if pending.done:
                break
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{what} is not done after {seconds:g} s; look at the operation "
                    f"{pending.name}, then run this again: it goes on from what is there"
                )
            time.sleep(wait)
            pending = operations_client.get_operation(pending.name, **self.limits.options())
        if pending.HasField("error"):
            raise exceptions.from_grpc_status(pending.error.code, pending.error.message)

    @cached_property
    def credentials(self) -> Credentials:
        """The credentials; a server on loopback gets none."""
        if self.endpoint.is_loopback:
            return AnonymousCredentials()
        with self.explained("aiplatform.locations.get", self.endpoint.parent):
            return load_credentials(self.endpoint.service_account)

    @cached_property
    def model_monitoring(self) -> ModelMonitoringServiceClient:
        """Monitors and monitoring jobs; Model Monitoring v2 exists in v1beta1 alone."""
        return self._client(ModelMonitoringServiceClient)

    @cached_property
    def models(self) -> ModelServiceClient:
        return self._client(ModelServiceClient)

    @cached_property
    def jobs(self) -> JobServiceClient:
        return self._client(JobServiceClient)

    @cached_property
    def pipelines(self) -> PipelineServiceClient:
        return self._client(PipelineServiceClient)

    def close(self) -> None:
        for name in ("model_monitoring", "models", "jobs", "pipelines"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.transport.close()
        self._channel = None

    def _client(self, client_type: Any) -> Any:
        if self.endpoint.is_loopback:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self.endpoint.host)
            transport_type = client_type.get_transport_class("grpc")
            return client_type(transport=transport_type(channel=self._channel))
        with self.explained("aiplatform.locations.get", self.endpoint.parent):
            return client_type(
                credentials=self.credentials,
                client_options=ClientOptions(api_endpoint=self.endpoint.host),
            )


def _with_deadline(function: Callable[..., Any], *, seconds: float) -> Callable[..., Any]:
    @functools.wraps(function)
    def with_deadline(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{**kwargs, "timeout": seconds})

    return with_deadline
