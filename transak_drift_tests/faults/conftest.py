"""Directories for tests that kill processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


@pytest.fixture
def directory(tmp_path: Path) -> Generator[Path]:
    """Return an empty directory, in memory where the system has one for that.

    A killed process loses nothing that it gave to the kernel: only a power failure makes the disk
    matter, and a disk that is waited for makes these tests ten times as long.
    """
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="transak-drift-faults-", dir=_MEMORY) as made:
        yield Path(made)
