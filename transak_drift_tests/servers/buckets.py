"""Cloud Storage as a directory: `gs://bucket/path` is `<directory>/bucket/path`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transak_drift_tests.servers.status import invalid


@dataclass(frozen=True, slots=True)
class Buckets:
    """The objects."""

    directory: Path

    def path(self, uri: str) -> Path:
        """Return where an object lies."""
        if not uri.startswith("gs://"):
            raise invalid(f"{uri} is not a Cloud Storage URI")
        return self.directory / uri.removeprefix("gs://")

    def find(self, uri: str) -> list[Path]:
        """Return the objects that an address, which may hold wildcards, matches."""
        pattern = str(self.path(uri).relative_to(self.directory))
        return sorted(path for path in self.directory.glob(pattern) if path.is_file())

    def write_csv(self, uri: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows as an object of comma-separated values with a header."""
        path = self.path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
