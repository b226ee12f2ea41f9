"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(destination: Path) -> Generator[Path]:
    """Yield a path to write to, and put that file at its destination when the block succeeds.

    The directory is made where missing. Where the block fails the file is removed; where the
    process dies it stays as a hidden file that nothing reads.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.parent / f".{destination.name}.{uuid.uuid4().hex}.temporary"
    try:
        yield temporary
        sync_to_disk(temporary)
        temporary.replace(destination)
        sync_to_disk(destination.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_to_disk(path: Path) -> None:
    """Make the content of a file, or the entries of a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
