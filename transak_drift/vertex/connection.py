"""How Vertex AI is called: with which clients, deadlines and retries, and how its errors read.

A write is as safe to repeat as a read: each creation names its id, so that the repetition of one
that had been done answers ALREADY_EXISTS, and an update sets fields to given values.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import MethodType
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry, exponential_sleep_generator, if_exception_type
from google.api_core.timeout import ConstantTimeout
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
from google.cloud.aiplatform_v1beta1.services.job_service import JobServiceClient
from google.cloud.aiplatform_v1beta1.services.model_monitoring_service import (
    ModelMonitoringServiceClient,
)
from pydantic.alias_generators import to_camel

from transak_drift.google_cloud.session import load_credentials
from transak_drift.platform import PlatformError, TemporaryPlatformError

_PAGE_SIZE = 100
# "Vertex AI API errors" names these as temporary; a slow answer ends as DEADLINE_EXCEEDED.
_TEMPORARY = (
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    exceptions.DeadlineExceeded,
    exceptions.Aborted,
)
# The permissions that do not have the name of their method.
_PERMISSIONS = {
    "list_model_versions": "models.get",
    "merge_version_aliases": "models.update",
    "search_model_monitoring_stats": "modelMonitors.searchModelMonitoringStats",
    "search_model_monitoring_alerts": "modelMonitors.searchModelMonitoringAlerts",
}
# Smallest predefined role with each permission ("Vertex AI access control with IAM").
_ROLES = {
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator",
    "bigquery.jobs.create": "roles/bigquery.jobUser",
    "bigquery.tables.get": "roles/bigquery.dataViewer",
    "bigquery.tables.getData": "roles/bigquery.dataViewer",
    "storage.objects.get": "roles/storage.objectViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.create": "roles/storage.objectUser",
    "artifactregistry.files.download": "roles/artifactregistry.reader",
}
# "Permission 'x.y.z' denied", or BigQuery's "User does not have x.y.z permission".
_PERMISSION = re.compile(r"(?:[Pp]ermission '?|have )(?P<found>[a-z]+\.[A-Za-z]+\.[A-Za-z]+)")
_RESOURCE = re.compile(r"resource '?(?://[a-z.]+/)?(?P<found>[^\s']+)'?")
_LOGIN = "run `gcloud auth application-default login` again"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long one attempt, all attempts of a call, and a long-running operation may take.

    All attempts end before the 60 s that Dagster gives the tick of a sensor. The pace is what the
    waits between attempts and between polls are multiplied by, for tests.
    """

    attempt_seconds: float = 20.0
    total_seconds: float = 45.0
    operation_seconds: float = 300.0
    pace: float = 1.0

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments `retry` and `timeout` of a generated client's method."""
        retry = Retry(
            predicate=if_exception_type(*_TEMPORARY),
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


@dataclass(eq=False)
class VertexConnection:
    """The clients of one project and region; each is connected when it is first used.

    Each call is one of a client's methods with the fields of its request. It raises `PlatformError`
    where it is refused or not answered in time, and `AlreadyExists` where that is the answer.

    The address, `host:port`, takes the place of the region's own endpoint: on loopback it is spoken
    to without encryption and credentials, anywhere else with both. Without a service account, calls
    are made as the application default credentials say.
    """

    project_id: str
    location: str
    address: str | None = None
    service_account: str | None = None
    limits: CallLimits = CallLimits()
    _clients: list[Any] = field(default_factory=list, init=False)

    @property
    def parent(self) -> str:
        return f"projects/{self.project_id}/locations/{self.location}"

    @property
    def is_loopback(self) -> bool:
        host = (self.address or "").rpartition(":")[0]
        return host in ("127.0.0.1", "localhost", "[::1]")

    def name(self, *parts: str) -> str:
        """Return the name of a resource in the location, e.g. of `models` and an id."""
        return "/".join((self.parent, *parts))

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

    def list_named(self, method: MethodType, display_name: str) -> list[Any]:
        """Read every page of a location's resources of one display name."""
        quoted = display_name.replace("\\", "\\\\").replace('"', '\\"')
        return self.list_all(method, parent=self.parent, filter=f'display_name="{quoted}"')

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

    @cached_property
    def credentials(self) -> Credentials:
        """The credentials; a server on loopback gets none."""
        if self.is_loopback:
            return AnonymousCredentials()
        return load_credentials(self.service_account)

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
        return explained(f"aiplatform.{permission}", resource, self.service_account)

    def _client(self, client_type: Any) -> Any:
        host = self.address or f"{self.location}-aiplatform.googleapis.com"
        if self.is_loopback:
            transport = client_type.get_transport_class("grpc")
            client = client_type(transport=transport(channel=grpc.insecure_channel(host)))
        else:
            options = ClientOptions(api_endpoint=host)
            client = client_type(credentials=self.credentials, client_options=options)
        self._clients.append(client)
        return client


@contextmanager
def explained(permission: str, resource: str, service_account: str | None) -> Generator[None]:
    """Turn the errors of Google's clients into `PlatformError`, which says what to do.

    The calls in the block need a permission on a resource, and are made as a service account or as
    the application default credentials say. ALREADY_EXISTS is an answer and no fault, and is left.
    """
    caller = f"serviceAccount:{service_account}" if service_account else None
    try:
        yield
    except exceptions.AlreadyExists:
        raise
    except (exceptions.RetryError, *_TEMPORARY) as error:
        cause = getattr(error, "cause", None) or error
        raise TemporaryPlatformError(
            f"Google Cloud did not do {permission} on {resource} in time, also when asked again: "
            f"{type(cause).__name__}: {_first_line(cause)}; run this again later, and look at the "
            "quotas if it is ResourceExhausted"
        ) from error
    except exceptions.GoogleAPICallError as error:
        raise PlatformError(_refusal(error, permission, resource, caller)) from error
    except GoogleAuthError as error:
        reason = f"no access token: {_first_line(error.args[0] if error.args else error)}"
        if caller is None:
            raise PlatformError(f"{reason}; {_LOGIN}") from error
        fix = _missing_role("iam.serviceAccounts.getAccessToken", caller, caller)
        raise PlatformError(f"{reason}. {fix}") from error


def _refusal(
    error: exceptions.GoogleAPICallError, permission: str, resource: str, caller: str | None
) -> str:
    text = _first_line(error)
    match error:
        case exceptions.Forbidden():
            named, on = _PERMISSION.search(text), _RESOURCE.search(text)
            permission = named["found"] if named else permission
            problem = _missing_role(permission, on["found"] if on else resource, caller)
            return f"permission denied: {problem}. Google said: {text}"
        case exceptions.NotFound():
            fix = "check project_id, location and the names in the configuration, and that the API"
            return f"{resource} was not found: {fix} is enabled. Google said: {text}"
        case exceptions.BadRequest() if permission.startswith("bigquery."):
            fix = "correct the query, or date_column and date_column_format of the table"
            return f"BigQuery refuses {resource[:300]}: {text}; {fix}"
        case exceptions.Unauthenticated():
            return f"the credentials were refused for {resource}; {_LOGIN}. Google said: {text}"
    return f"{permission} on {resource} failed: {type(error).__name__}: {text}"


def _missing_role(permission: str, resource: str, caller: str | None) -> str:
    role = _ROLES.get(permission, f"a role with {permission}")
    if permission.startswith("aiplatform."):
        is_read = permission.rpartition(".")[2].startswith(("get", "list", "search"))
        role = "roles/aiplatform.viewer" if is_read else "roles/aiplatform.user"
    return (
        f"{caller or 'the account of the application default credentials'} lacks {permission} on "
        f"{resource}: grant {role} (or a custom role with {permission}, as terraform/ makes it) "
        "on it"
    )


def _first_line(error: object) -> str:
    text = getattr(error, "message", None) or str(error)
    return text.strip().partition("\n")[0][:500]
