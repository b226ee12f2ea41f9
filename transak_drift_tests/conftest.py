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
    *("end_to_end", "faults", "documentation", "cli", "terraform", "deployment", "cloud_function"),
    *("pipelines", "reports", "local/test_trainer", "defs", "conformance", "vertex", "pubsub"),
    *("local", "trigger"),
)
# Servers and plans are shared by all tests of these packages, and of others by those of a file: a
# worker gets them together, and of what takes long and shares nothing each test by itself.
_TOGETHER = ("cloud_function", "conformance", "terraform")
_EACH_ALONE = (
    "cli/test_backfill",
    "cli/test_dev",
    "documentation",
    "end_to_end/test_daemon.py::test_a_daemon_dies_after_it_has_created_a_run_in_postgres",
    "end_to_end/test_gcp_loop",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Fork the workers from the process that has imported everything."""
    for spec in specs:
        spec.python = start_fork_server()


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through all that was imported, again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out tests in their order, and together those that share something."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if any(_is_of(nodeid, part) for part in _EACH_ALONE):
                return nodeid
            shared = (part for part in _TOGETHER if _is_of(nodeid, part))
            return next(shared, nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker has it left at the end."""

    def place(item: pytest.Item) -> int:
        found = (n for n, part in enumerate(_LONGEST) if _is_of(item.nodeid, part))
        return next(found, len(_LONGEST))

    items.sort(key=place)


def _is_of(nodeid: str, part: str) -> bool:
    return nodeid.startswith(f"transak_drift_tests/{part}")
