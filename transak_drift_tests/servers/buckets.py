"""Cloud Storage as a directory: `gs://bucket/path` is `<directory>/bucket/path`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Buckets:
    """The objects."""

    directory: Path

    def path(self, uri: str) -> Path:
        """Return where an object lies."""
        return self.directory / uri.removeprefix("gs://")

    def files(self, pattern: str) -> list[Path]:
        """Return the objects below a bucket, or those that `bucket/path` with wildcards matches."""
        found = self.directory.glob(pattern if "/" in pattern else f"{pattern}/**/*")
        return sorted(path for path in found if path.is_file())

    def write_csv(self, uri: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows as an object of comma-separated values with a header."""
        path = self.path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
