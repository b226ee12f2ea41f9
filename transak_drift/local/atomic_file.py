"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from transak_drift.platform import PlatformError


@contextmanager
def replace_file(destination: Path) -> Generator[Path]:
    """Yield a path to write to, and put that file at its destination when the block succeeds.

    The directory is made where missing. A process that dies leaves a hidden file, never read.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.parent / f".{destination.name}.{uuid.uuid4().hex}.temporary"
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(destination)
        _sync(destination.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Make the content of a file, or the entries of a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(destination: Path, text: str) -> None:
    """Replace a file's content by a text in UTF-8, whole or not at all."""
    with replace_file(destination) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_page(path: Path, page: str, asset: str) -> str:
    """Write a page of an asset, HTML; return the absolute path."""
    try:
        write_text(path, page)
    except OSError as error:
        raise PlatformError(
            f"the report {path} cannot be written ({error.strerror}); free space or correct the "
            f"rights of its directory, and materialize {asset} again"
        ) from error
    return str(path.absolute())
