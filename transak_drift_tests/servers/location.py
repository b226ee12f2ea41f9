"""The one location that the server serves, by the project's id and number alike."""

from __future__ import annotations

from dataclasses import dataclass

from transak_drift_tests.servers.status import invalid, not_found, permission_denied

PROJECT_ID = "af-finanzen"
PROJECT_NUMBER = "123456789012"
LOCATION = "europe-west6"


@dataclass(frozen=True, slots=True)
class Location:
    """A location of a project."""

    project_id: str
    project_number: str
    location: str

    @property
    def parent(self) -> str:
        """Resource name of the location with the project's number."""
        return f"projects/{self.project_number}/locations/{self.location}"

    def canonical(self, name: str, permission: str = "aiplatform.locations.get") -> str:
        """Return a resource name with the project's number."""
        parts = name.split("/", 4)
        if len(parts) < 4 or parts[0] != "projects" or parts[2] != "locations":
            raise invalid(f"{name} is not the name of a resource in a location")
        if parts[1] not in (self.project_id, self.project_number):
            raise permission_denied(permission, name)
        if parts[3] != self.location:
            raise not_found(name)
        return "/".join([self.parent, *parts[4:]])
