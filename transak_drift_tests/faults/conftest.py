"""The loop that these tests break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from transak_drift_tests.faults.broken_loop import BrokenLoop


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenLoop]:
    """Return a loop that the tests of a module break one after the other.

    Each test leaves it settled, with every check passed on all that was ever published.
    """
    with BrokenLoop(tmp_path_factory.mktemp("loop")) as running:
        yield running
