"""Credentials for Google Cloud, and its REST APIs where a few reads need no client library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import google.auth
import requests
from google.auth import exceptions as auth_exceptions
from google.auth import impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from transak_drift.platform import PlatformError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_PAGES = 50


def load_credentials(service_account: str | None) -> Credentials:
    """Find the application default credentials, or those that act as a service account."""
    try:
        source, _ = google.auth.default(scopes=[_SCOPE])
    except auth_exceptions.DefaultCredentialsError as error:
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


class RestSession:
    """A session of one process, as a service account where one is named.

    The base URL `http://127.0.0.1:port` is spoken to in place of Google, without credentials. A
    call, which only reads, is made `attempts` times at most, each of them for so many seconds.
    `PlatformError` is raised where there are no credentials, the URL is not of this machine, a
    call is refused, or there is no answer in time.
    """

    def __init__(
        self,
        base_url: str | None,
        service_account: str | None,
        *,
        attempts: int = 5,
        seconds: float = 20.0,
    ) -> None:
        self._base_url = base_url
        self._seconds = seconds
        if base_url is None:
            self._session: requests.Session = AuthorizedSession(load_credentials(service_account))
        elif urlsplit(base_url).hostname in _LOOPBACK:
            self._session = requests.Session()
        else:
            raise PlatformError(
                f"TRANSAK_DRIFT_GOOGLE_APIS_URL = {base_url!r} is not of this machine; unset it"
            )
        retry = Retry(
            total=attempts - 1,
            backoff_factor=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def call(
        self, method: str, service: str, path: str, parameters: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a call that reads, e.g. `GET`, `logging`, `/v2/projects/p/sinks/s`."""
        base = self._base_url or f"https://{service}.googleapis.com"
        sent = {"params" if method == "GET" else "json": parameters}
        try:
            answer = self._session.request(method, f"{base}{path}", timeout=self._seconds, **sent)
        except (requests.RequestException, auth_exceptions.GoogleAuthError) as error:
            raise PlatformError(
                f"no answer of {service}.googleapis.com: {str(error)[:200]}; try again"
            ) from error
        if not answer.ok:
            raise PlatformError(_message_of(answer))
        return answer.json()

    def list_all(
        self, method: str, service: str, path: str, key: str, parameters: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Read a list page by page, until there are `pageSize` of it or no more."""
        items: list[dict[str, Any]] = []
        page: Mapping[str, Any] = {}
        # A page may be empty although more follow: a search may have had no time for all of it.
        for _ in range(_MAX_PAGES):
            page = self.call(method, service, path, {**parameters, **page})
            items += page.get(key, [])
            if len(items) >= parameters["pageSize"] or not page.get("nextPageToken"):
                break
            page = {"pageToken": page["nextPageToken"]}
        return items[: parameters["pageSize"]]


def _message_of(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason}"
