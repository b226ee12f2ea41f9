"""How Vertex AI is called: where and as whom, with which clients, deadlines and retries.

A write is as safe to repeat as a read: each creation names its id, so that the repetition of one
that had been done answers ALREADY_EXISTS, and an update sets fields to given values.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry, exponential_sleep_generator, if_exception_type
from google.api_core.timeout import ConstantTimeout
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
from google.cloud.aiplatform_v1beta1.services.job_service import JobServiceClient
from google.cloud.aiplatform_v1beta1.services.model_monitoring_service import (
    ModelMonitoringServiceClient,
)
from pydantic.alias_generators import to_camel

from transak_drift.google_cloud.credentials import load_credentials
from transak_drift.platform import PlatformError
from transak_drift.vertex.errors import TEMPORARY, explained

_PAGE_SIZE = 100
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
# The permissions that do not have the name of their method.
_PERMISSIONS = {
    "list_model_versions": "models.get",
    "search_model_monitoring_stats": "modelMonitors.searchModelMonitoringStats",
    "search_model_monitoring_alerts": "modelMonitors.searchModelMonitoringAlerts",
}


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
    def is_loopback(self) -> bool:
        host = (self.address or "").rpartition(":")[0]
        return host in ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long calls may take.

    Args:
        attempt_seconds: deadline of one attempt.
        total_seconds: time in which attempts are repeated; less than the 60 s that Dagster gives
            the tick of a sensor.
        operation_seconds: how long a long-running operation is waited for.
        pace: what the waits between attempts and between polls are multiplied by, for tests.
    """

    attempt_seconds: float = 20.0
    total_seconds: float = 45.0
    operation_seconds: float = 300.0
    pace: float = 1.0

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments `retry` and `timeout` of a generated client's method."""
        retry = Retry(
            predicate=if_exception_type(*TEMPORARY),
            initial=0.5 * self.pace,
            maximum=15.0 * self.pace,
            multiplier=2.0,
            timeout=self.total_seconds,
        )
        # A number would be one deadline for all attempts, so that a first answer that never comes
        # would leave no time for a second attempt.
        return {"retry": retry, "timeout": ConstantTimeout(self.attempt_seconds)}

    def polls(self, seconds: float) -> Iterator[None]:
        """Yield whenever an operation or a job is to be looked at, until the time is over."""
        deadline = time.monotonic() + seconds
        for wait in exponential_sleep_generator(0.5 * self.pace, 30.0 * self.pace, multiplier=1.5):
            yield
            if time.monotonic() > deadline:
                return
            time.sleep(wait)


class VertexConnection:
    """The clients of one location; each is connected when it is first used.

    Each call is one of a client's methods with the fields of its request. It raises `PlatformError`
    where it is refused or not answered in time, and `AlreadyExists` where that is the answer.
    """

    def __init__(self, endpoint: VertexEndpoint, limits: CallLimits | None = None) -> None:
        self.endpoint = endpoint
        self.limits = limits or CallLimits()
        self._clients: list[Any] = []

    def name(self, *parts: str) -> str:
        """Return the name of a resource in the location, e.g. of `models` and an id."""
        return "/".join((self.endpoint.parent, *parts))

    def call(self, method: MethodType, **request: Any) -> Any:
        with self._explained(method, request):
            return method(request=request, **self.limits.options())

    def find(self, method: MethodType, name: str) -> Any | None:
        """Get a resource; None where it does not exist."""
        try:
            return self.call(method, name=name)
        except PlatformError as error:
            if isinstance(error.__cause__, exceptions.NotFound):
                return None
            raise

    def list_all(self, method: MethodType, **request: Any) -> list[Any]:
        """Read every page of a list."""
        # The pages are read with further calls, so their errors are explained as well.
        with self._explained(method, request):
            return list(self.call(method, **request, page_size=_PAGE_SIZE))

    def finish(self, method: MethodType, **request: Any) -> None:
        """Make a call that starts a long-running operation on a monitor, and wait for its end."""
        client = self.model_monitoring.transport.operations_client
        with self._explained(method, request):
            operation = self.call(method, **request).operation
            for _ in self.limits.polls(self.limits.operation_seconds):
                operation = client.get_operation(operation.name, **self.limits.options())
                if operation.done:
                    break
            else:
                raise PlatformError(
                    f"{method.__name__} is not done after {self.limits.operation_seconds:g} s; "
                    f"look at the operation {operation.name}, then run this again: it goes on from "
                    "what is there"
                )
            if operation.HasField("error"):
                raise exceptions.from_grpc_status(operation.error.code, operation.error.message)

    def explained(self, permission: str, resource: str) -> AbstractContextManager[None]:
        """Turn the errors of the calls in a block into `PlatformError`."""
        return explained(permission, resource, self.endpoint.service_account)

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
        for client in self._clients:
            client.transport.close()

    def _explained(
        self, method: MethodType, request: dict[str, Any]
    ) -> AbstractContextManager[None]:
        """Explain the errors of a method, whose name tells the permission, e.g. `get_model`."""
        verb, _, noun = method.__name__.partition("_")
        permission = f"{to_camel(noun.removesuffix('s'))}s.{verb}"
        permission = _PERMISSIONS.get(method.__name__, permission)
        named = request.get("parent") or request.get("name") or request["model_monitor"]
        resource = getattr(named, "name", named).partition("@")[0]
        return self.explained(f"aiplatform.{permission}", resource)

    def _client(self, client_type: Any) -> Any:
        host = self.endpoint.address or f"{self.endpoint.location}-aiplatform.googleapis.com"
        if self.endpoint.is_loopback:
            transport = client_type.get_transport_class("grpc")
            client = client_type(transport=transport(channel=grpc.insecure_channel(host)))
        else:
            with self.explained("aiplatform.locations.get", self.endpoint.parent):
                options = ClientOptions(api_endpoint=host)
                client = client_type(credentials=self.credentials, client_options=options)
        self._clients.append(client)
        return client
