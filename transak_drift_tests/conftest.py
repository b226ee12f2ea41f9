"""Settings of the whole suite."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is this machine's affair, and no test may depend on it.
settings.register_profile(
    "transak_drift", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("transak_drift")

_LONGEST_FIRST = ("end_to_end", "faults", "pipelines", "cloud_function")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the rooms whose tests start processes, so that none is left for the end."""

    def place(item: pytest.Item) -> int:
        room = item.nodeid.split("/")[1] if "/" in item.nodeid else ""
        return _LONGEST_FIRST.index(room) if room in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=place)
