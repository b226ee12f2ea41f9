"""Credentials for Google Cloud, for every package that calls it."""

from __future__ import annotations

import google.auth
from google.auth import impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError

from transak_drift.platform import PlatformError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def load_credentials(service_account: str | None) -> Credentials:
    """Find the application default credentials, or those that act as a service account."""
    try:
        source, _ = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError as error:
        reason = str(error).partition(". ")[0]
        raise PlatformError(
            f"there are no Google Cloud credentials ({reason}); run `gcloud auth "
            "application-default login`, or attach a service account to the machine"
        ) from error
    if service_account is None:
        return source
    return impersonated_credentials.Credentials(
        source_credentials=source, target_principal=service_account, target_scopes=[_SCOPE]
    )
