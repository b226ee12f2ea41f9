"""Where Vertex AI is reached, and as whom."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from transak_drift.platform import PlatformError

_ENDPOINT = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")


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
        if self.address is not None and _ENDPOINT.fullmatch(self.address) is None:
            raise PlatformError(
                f"the Vertex AI endpoint {self.address!r} is not host:port; write "
                "TRANSAK_DRIFT_VERTEX_ENDPOINT as e.g. 127.0.0.1:8080, or unset it"
            )

    @property
    def parent(self) -> str:
        """Resource name of the location, which the API calls the parent."""
        return f"projects/{self.project_id}/locations/{self.location}"

    @property
    def host(self) -> str:
        """The `host` or `host:port` that is connected to."""
        return self.address or f"{self.location}-aiplatform.googleapis.com"

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is a server on this machine."""
        match = None if self.address is None else _ENDPOINT.fullmatch(self.address)
        if match is None:
            return False
        host = match["host"].strip("[]")
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
