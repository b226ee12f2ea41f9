"""Directories for tests that kill processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transak_drift_tests.faults.broken_loop import BrokenLoop

_MEMORY = Path("/dev/shm")


@pytest.fixture
def directory(tmp_path: Path) -> Generator[Path]:
    """Return an empty directory, in memory where the system has one for that.

    A killed process loses nothing that it gave to the kernel: only a power failure makes the disk
    matter, and a disk that is waited for makes these tests ten times as long.
    """
    with _directory(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Generator[BrokenLoop]:
    """Return a loop that the tests of a module break one after the other.

    Each test leaves it settled, with every check passed on all that was ever published.
    """
    with _directory(tmp_path_factory.mktemp("loop")) as made, BrokenLoop(made) as running:
        yield running


@contextmanager
def _directory(on_disk: Path) -> Generator[Path]:
    if not os.access(_MEMORY, os.W_OK):
        yield on_disk
        return
    with tempfile.TemporaryDirectory(prefix="transak-drift-faults-", dir=_MEMORY) as made:
        yield Path(made)
