"""Errors of the Google Cloud clients as messages that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

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


@contextmanager
def explained(
    permission: str, resource: str, service_account: str | None = None
) -> Generator[None]:
    """Turn the errors of Google's clients into `PlatformError`.

    ALREADY_EXISTS is left as it is, since it is an answer and no fault.

    Args:
        permission: the IAM permission that the calls within the block need.
        resource: what they need it on.
        service_account: who makes them, or None for the application default credentials.

    Raises:
        TemporaryPlatformError: Google Cloud did not answer in time.
        PlatformError: says what is wrong, on which resource, and what to do.
    """
    caller = f"serviceAccount:{service_account}" if service_account else None
    try:
        yield
    except exceptions.AlreadyExists:
        raise
    except (exceptions.RetryError, *TEMPORARY) as error:
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
            told, of = _PERMISSION.search(text), _RESOURCE.search(text)
            permission = told["found"] if told else permission
            problem = _missing_role(permission, of["found"] if of else resource, caller)
            return f"permission denied: {problem}. Google said: {text}"
        case exceptions.NotFound():
            fix = "check project_id, location and the names in the configuration, and that the API"
            return f"{resource} was not found: {fix} is enabled. Google said: {text}"
        case exceptions.Unauthenticated():
            return f"the credentials were refused for {resource}; {_LOGIN}. Google said: {text}"
    return f"{permission} on {resource} failed: {type(error).__name__}: {text}"


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
