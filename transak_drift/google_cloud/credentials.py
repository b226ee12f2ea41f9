"""Credentials for Google Cloud, for both rooms that call it."""

from __future__ import annotations

import google.auth
from google.auth import impersonated_credentials
from google.auth.credentials import Credentials

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def load_credentials(service_account: str | None) -> Credentials:
    """Find the credentials to call Google Cloud with.

    Args:
        service_account: e-mail of the service account to act as, or None.

    Returns:
        The application default credentials, or those that act as the service account. No key
        file is made and no token is kept.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: there are none.
    """
    source, _ = google.auth.default(scopes=[_SCOPE])
    if service_account is None:
        return source
    return impersonated_credentials.Credentials(
        source_credentials=source, target_principal=service_account, target_scopes=[_SCOPE]
    )
