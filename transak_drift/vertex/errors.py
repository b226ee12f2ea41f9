"""Errors of the Google Cloud clients as messages that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from transak_drift.platform import PlatformError, TemporaryPlatformError

# "Vertex AI API errors" names these as temporary; a slow answer ends as DEADLINE_EXCEEDED.
TEMPORARY = (
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    exceptions.DeadlineExceeded,
    exceptions.Aborted,
)

_PERMISSION = re.compile(r"[Pp]ermission '?(?P<found>[a-z]+\.[A-Za-z]+\.[A-Za-z]+)'?")
_RESOURCE = re.compile(r"resource '?(?://[a-z.]+/)?(?P<found>[^\s']+)'?")
_LOGIN = "run `gcloud auth application-default login` again"

# Smallest predefined role with each permission ("Vertex AI access control with IAM").
_VIEWER_VERBS = ("get", "list", "searchModelMonitoringAlerts", "searchModelMonitoringStats")
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


@dataclass(frozen=True, slots=True)
class Access:
    """The IAM permission that a call needs on a resource; a caller of None only Google knows."""

    permission: str
    resource: str
    caller: str | None = None


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
    except (exceptions.RetryError, *TEMPORARY) as error:
        cause = getattr(error, "cause", None) or error
        raise TemporaryPlatformError(
            f"Google Cloud did not do {access.permission} on {access.resource} in time, also when "
            f"asked again: {type(cause).__name__}: {_first_line(cause)}; run this again later, and "
            "look at the quotas if it is ResourceExhausted"
        ) from error
    except exceptions.GoogleAPICallError as error:
        raise PlatformError(_refusal(access, error)) from error
    except GoogleAuthError as error:
        reason = f"no access token: {_first_line(error.args[0] if error.args else error)}"
        if access.caller is None:
            raise PlatformError(f"{reason}; {_LOGIN}") from error
        fix = _missing_role("iam.serviceAccounts.getAccessToken", access.caller, access.caller)
        raise PlatformError(f"{reason}. {fix}") from error


def _refusal(access: Access, error: exceptions.GoogleAPICallError) -> str:
    text = _first_line(error)
    if isinstance(error, exceptions.Forbidden):
        permission, resource = _PERMISSION.search(text), _RESOURCE.search(text)
        sentence = _missing_role(
            permission["found"] if permission else access.permission,
            resource["found"] if resource else access.resource,
            access.caller,
        )
        return f"permission denied: {sentence}. Google said: {text}"
    if isinstance(error, exceptions.NotFound):
        return (
            f"{access.resource} was not found: check project_id, location and the names in the "
            f"configuration, and that the API is enabled. Google said: {text}"
        )
    if isinstance(error, exceptions.Unauthenticated):
        return f"the credentials were refused for {access.resource}; {_LOGIN}. Google said: {text}"
    return f"{access.permission} on {access.resource} failed: {type(error).__name__}: {text}"


def _missing_role(permission: str, resource: str, caller: str | None) -> str:
    role = _ROLES.get(permission, f"a role with {permission}")
    if permission.startswith("aiplatform."):
        is_read = permission.rpartition(".")[2] in _VIEWER_VERBS
        role = "roles/aiplatform.viewer" if is_read else "roles/aiplatform.user"
    return (
        f"{caller or 'the account of the application default credentials'} lacks {permission} on "
        f"{resource}: grant {role} (or a custom role with {permission}, as terraform/ makes it) "
        "on it"
    )


def _first_line(error: object) -> str:
    text = getattr(error, "message", None) or str(error)
    return text.strip().partition("\n")[0][:500]
