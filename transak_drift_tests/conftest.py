"""Settings of the whole suite."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# One thread a worker: more threads only wait for each other. Read when numpy is loaded, which no
# import above does, and inherited by the processes that tests start.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# Databases of tests are in memory where it has room: a killed process loses nothing that it gave to
# the kernel, and a disk that is waited for makes tests several times as long.
_MEMORY = Path("/dev/shm")
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Tests start many processes: each would compile all modules anew where no bytecode is written.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# After the variables above.
from transak_drift.local import embedded_pubsub  # noqa: E402
from transak_drift_tests.warm_processes import spawn_pubsub_server, start_fork_server  # noqa: E402

vars(embedded_pubsub)["_spawn"] = spawn_pubsub_server

# How long an example takes is this machine's affair, and no test may depend on it.
settings.register_profile(
    "transak_drift", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("transak_drift")

# What takes longest, the longest first.
_LONGEST = (
    "end_to_end",
    "faults",
    "documentation",
    "cli",
    "deployment",
    "pipelines",
    "reports",
    "local/test_trainer",
    "cloud_function",
    "defs",
    "terraform",
    "vertex",
    "conformance",
    "pubsub",
    "local",
    "trigger",
)
# Of these each test is handed to a worker for itself; of all others each file, so that the servers
# that its tests share are not started several times.
_EACH_ALONE = ("end_to_end", "documentation", "cli/test_backfill", "cli/test_dev")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Fork the workers from the process that has imported everything."""
    for spec in specs:
        spec.python = start_fork_server()


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through all that was imported, again and again."""
    gc.collect()
    gc.freeze()


# Before pytest-xdist looks at the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker has it left at the end."""

    def is_of(item: pytest.Item, part: str) -> bool:
        return item.nodeid.startswith(f"transak_drift_tests/{part}")

    def place(item: pytest.Item) -> int:
        found = (n for n, part in enumerate(_LONGEST) if is_of(item, part))
        return next(found, len(_LONGEST))

    items.sort(key=place)
    for item in items:
        if not any(is_of(item, part) for part in _EACH_ALONE):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
