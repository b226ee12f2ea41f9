"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(destination: Path) -> Generator[Path]:
    """Write a file beside its destination and put it there when the block succeeds.

    Args:
        destination: the file; replaced where it exists, its directory made where missing.

    Yields:
        The path to write to. It is removed where the block fails; where the process dies, it
        stays as a hidden file that nothing reads.

    Raises:
        OSError: the file cannot be written.
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
    """Make the content of a file, or the entries of a directory, durable.

    Args:
        path: the file or directory.

    Raises:
        OSError: it does not exist or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
