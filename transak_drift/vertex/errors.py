"""Errors of the Google Cloud clients as messages that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions

from transak_drift.platform import PlatformError, TemporaryPlatformError

_PERMISSION = re.compile(r"[Pp]ermission '?(?P<permission>[a-z]+\.[A-Za-z]+\.[A-Za-z]+)'?")
_RESOURCE = re.compile(r"resource '?(?://[a-z.]+/)?(?P<resource>[^\s']+)'?")

_TEMPORARY = (
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    exceptions.DeadlineExceeded,
    exceptions.Aborted,
)

# Smallest predefined role with each permission ("Vertex AI access control with IAM").
_VIEWER_VERBS = frozenset(
    {"get", "list", "searchModelMonitoringAlerts", "searchModelMonitoringStats"}
)
ACT_AS = "iam.serviceAccounts.actAs"
_ROLES = {
    ACT_AS: "roles/iam.serviceAccountUser",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator",
    "bigquery.jobs.create": "roles/bigquery.jobUser",
    "bigquery.tables.get": "roles/bigquery.dataViewer",
    "bigquery.tables.getData": "roles/bigquery.dataViewer",
    "storage.objects.get": "roles/storage.objectViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.create": "roles/storage.objectUser",
    "pubsub.topics.get": "roles/pubsub.viewer",
    "pubsub.subscriptions.get": "roles/pubsub.viewer",
    "pubsub.topics.getIamPolicy": "roles/pubsub.admin or iam.securityReviewer",
    "logging.sinks.get": "roles/logging.viewer",
    "logging.sinks.list": "roles/logging.viewer",
    "logging.logEntries.list": "roles/logging.viewer",
    "monitoring.notificationChannels.get": "roles/monitoring.viewer",
    "monitoring.notificationChannels.list": "roles/monitoring.viewer",
    "resourcemanager.projects.get": "roles/browser",
    "resourcemanager.projects.getIamPolicy": "roles/iam.securityReviewer",
    "artifactregistry.files.download": "roles/artifactregistry.reader",
}


@dataclass(frozen=True, slots=True)
class Access:
    """What a call needs.

    Args:
        permission: the IAM permission, e.g. `aiplatform.modelMonitors.update`.
        resource: the resource on which it is needed.
        caller: who calls, as an IAM principal, or None where only Google knows.
    """

    permission: str
    resource: str
    caller: str | None = None


def role_for(permission: str) -> str:
    """Name the smallest predefined role that holds a permission, `service.resources.verb`."""
    if permission in _ROLES:
        return _ROLES[permission]
    service, _, verb = permission.partition(".")[0], "", permission.rpartition(".")[2]
    if service == "aiplatform":
        return "roles/aiplatform.viewer" if verb in _VIEWER_VERBS else "roles/aiplatform.user"
    return f"a role with {permission}"


@contextmanager
def explained(access: Access) -> Generator[None]:
    """Turn the errors of Google's clients into `PlatformError`.

    ALREADY_EXISTS is left as it is, since it is an answer and no fault.

    Args:
        access: what the calls within the block need.

    Raises:
        TemporaryPlatformError: Google Cloud did not answer in time.
        PlatformError: says what is wrong, on which resource, and what to do.
    """
    try:
        yield
    except exceptions.AlreadyExists:
        raise
    except exceptions.RetryError as error:
        raise TemporaryPlatformError(_gave_up(access, error.cause or error)) from error
    except _TEMPORARY as error:
        raise TemporaryPlatformError(_gave_up(access, error)) from error
    except exceptions.GoogleAPICallError as error:
        raise PlatformError(_message(access, error)) from error
    except auth_exceptions.GoogleAuthError as error:
        raise PlatformError(_no_token(access, error)) from error


def missing_role(permission: str, resource: str, caller: str | None = None) -> str:
    """Say which role to grant to whom on what."""
    who = caller or "the account of the application default credentials"
    return (
        f"{who} lacks {permission} on {resource}: grant {role_for(permission)} (or a custom role "
        f"with {permission}, as terraform/ makes it) on it"
    )


def _message(access: Access, error: exceptions.GoogleAPICallError) -> str:
    text = _first_line(error.message or str(error))
    if isinstance(error, exceptions.Forbidden):
        permission = _PERMISSION.search(text)
        resource = _RESOURCE.search(text)
        sentence = missing_role(
            permission["permission"] if permission else access.permission,
            resource["resource"] if resource else access.resource,
            access.caller,
        )
        return f"permission denied: {sentence}. Google said: {text}"
    if isinstance(error, exceptions.NotFound):
        return (
            f"{access.resource} was not found: check project_id, location and the names in the "
            f"configuration, and that the API is enabled. Google said: {text}"
        )
    if isinstance(error, exceptions.Unauthenticated):
        return (
            f"the credentials were refused for {access.resource}; run `gcloud auth "
            f"application-default login` again. Google said: {text}"
        )
    return f"{access.permission} on {access.resource} failed: {type(error).__name__}: {text}"


def _gave_up(access: Access, cause: BaseException) -> str:
    text = _first_line(getattr(cause, "message", None) or str(cause))
    return (
        f"Google Cloud did not do {access.permission} on {access.resource} in time, also when "
        f"asked again: {type(cause).__name__}: {text}; run this again later, and look at the "
        "quotas if it is ResourceExhausted"
    )


def _no_token(access: Access, error: auth_exceptions.GoogleAuthError) -> str:
    text = _first_line(str(error.args[0] if error.args else error))
    if access.caller is not None:
        return f"no access token for {access.caller}: {text}. " + missing_role(
            "iam.serviceAccounts.getAccessToken", access.caller
        )
    return f"no access token: {text}; run `gcloud auth application-default login` again"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:500]
