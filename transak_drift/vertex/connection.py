"""Clients of Vertex AI, the credentials they call with, and how each call is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials, Credentials

from transak_drift.google_cloud.credentials import load_credentials
from transak_drift.platform import PlatformError
from transak_drift.vertex.call_limits import CallLimits
from transak_drift.vertex.endpoint import VertexEndpoint
from transak_drift.vertex.errors import Access, explained

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
    from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
    from google.cloud.aiplatform_v1beta1.services.job_service import JobServiceClient
    from google.cloud.aiplatform_v1beta1.services.model_monitoring_service import (
        ModelMonitoringServiceClient,
    )

PAGE_SIZE = 100


class VertexConnection:
    """The clients of one location; each is connected when it is first used.

    Args:
        endpoint: where, and as whom.
        limits: deadlines and retries.
    """

    def __init__(self, endpoint: VertexEndpoint, limits: CallLimits | None = None) -> None:
        self.endpoint = endpoint
        self.limits = limits or CallLimits()
        self._channel: grpc.Channel | None = None

    def call(
        self, method: Callable[..., Any], permission: str, resource: str, request: Mapping[str, Any]
    ) -> Any:
        """Make a call within the limits.

        Args:
            method: a method of one of the clients.
            permission: the IAM permission that it needs.
            resource: the resource on which it needs it.
            request: the fields of the method's request.

        Raises:
            PlatformError: the call is refused, or not answered in time.
            google.api_core.exceptions.AlreadyExists: that is the answer.
        """
        with self.explained(permission, resource):
            return method(request=dict(request), **self.limits.options())

    def find(
        self, method: Callable[..., Any], permission: str, resource: str, request: Mapping[str, Any]
    ) -> Any | None:
        """Make a call as `call` does; None where the resource does not exist."""
        try:
            return self.call(method, permission, resource, request)
        except PlatformError as error:
            if isinstance(error.__cause__, exceptions.NotFound):
                return None
            raise

    def list_all(
        self, method: Callable[..., Any], permission: str, resource: str, request: Mapping[str, Any]
    ) -> list[Any]:
        """Read every page of a list, with a call as `call` makes it for each."""
        with self.explained(permission, resource):
            return list(
                method(request={**request, "page_size": PAGE_SIZE}, **self.limits.options())
            )

    def run(
        self,
        client: Any,
        method: Callable[..., Any],
        permission: str,
        resource: str,
        request: Mapping[str, Any],
        what: str,
    ) -> None:
        """Start a long-running operation of a client as `call` does, and wait for its end."""
        with self.explained(permission, resource):
            operation = method(request=dict(request), **self.limits.options())
            self.limits.wait_for(operation, client.transport.operations_client, what)

    def explained(self, permission: str, resource: str) -> AbstractContextManager[None]:
        """Turn the errors of the calls in a block into `PlatformError`."""
        account = self.endpoint.service_account
        return explained(
            Access(permission, resource, f"serviceAccount:{account}" if account else None)
        )

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
        from google.cloud.aiplatform_v1beta1.services import model_monitoring_service as service
        from google.cloud.aiplatform_v1beta1.services.model_monitoring_service import transports

        return self._client(
            service.ModelMonitoringServiceClient, transports.ModelMonitoringServiceGrpcTransport
        )

    @cached_property
    def models(self) -> ModelServiceClient:
        """The model registry."""
        from google.cloud.aiplatform_v1.services import model_service as service
        from google.cloud.aiplatform_v1.services.model_service import transports

        return self._client(service.ModelServiceClient, transports.ModelServiceGrpcTransport)

    @cached_property
    def jobs(self) -> JobServiceClient:
        """Batch prediction jobs; in v1beta1, which a monitoring run imports anyway, in seconds."""
        from google.cloud.aiplatform_v1beta1.services import job_service as service
        from google.cloud.aiplatform_v1beta1.services.job_service import transports

        return self._client(service.JobServiceClient, transports.JobServiceGrpcTransport)

    @cached_property
    def pipelines(self) -> PipelineServiceClient:
        """PipelineJobs."""
        from google.cloud.aiplatform_v1.services import pipeline_service as service
        from google.cloud.aiplatform_v1.services.pipeline_service import transports

        return self._client(service.PipelineServiceClient, transports.PipelineServiceGrpcTransport)

    def close(self) -> None:
        """Close every client that was connected."""
        for name in ("model_monitoring", "models", "jobs", "pipelines"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.transport.close()
        self._channel = None

    def _client(self, client_type: Any, transport_type: Any) -> Any:
        if self.endpoint.is_loopback:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self.endpoint.host)
            return client_type(transport=transport_type(channel=self._channel))
        with self.explained("aiplatform.locations.get", self.endpoint.parent):
            return client_type(
                credentials=self.credentials,
                client_options=ClientOptions(api_endpoint=self.endpoint.host),
            )
