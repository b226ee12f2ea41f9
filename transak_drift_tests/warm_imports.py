"""Imports what Dagster's processes need, once for all that are forked from the one that did.

Much is imported only when it is used, hence the calls. Nothing may stay open: neither a thread nor
a gRPC channel survives a fork.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import dagster as dg

from transak_drift.defs.keys import BASELINE_DATASET, DRIFT_EVENT, RETRAIN_JOB, ModelNames

REPOSITORY = Path(__file__).parents[1]
_LIBRARIES = (
    "cloudevents.http",
    "cryptography.x509",
    "dagster._cli",
    "dagster._daemon.cli",
    "dagster._grpc.server",
    "dagster_postgres",
    "functions_framework",
    "hypothesis.stateful",
    "hypothesis.strategies",
    "jsonschema",
    "kfp.local",
    "pandas",
    "pytest",
    "scipy.spatial.distance",
    "sklearn.dummy",
    "sklearn.tree",
    "xdist.remote",
)
# Tests are imported by pytest alone, which rewrites their assertions; the function's module starts
# the function.
_NOT_IMPORTED = ("test_*", "conftest.py", "warm_imports.py", "cloud_function/main.py")


def _modules() -> Iterator[str]:
    for path in sorted(REPOSITORY.glob("transak_drift*/**/*.py")):
        if not any(path.match(pattern) for pattern in _NOT_IMPORTED):
            name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            yield name.removesuffix(".__init__")


for _module in (*_LIBRARIES, *_modules()):
    # An extra may be missing: what needs it is skipped, or fails where it is used.
    with suppress(ImportError):
        import_module(_module)

with (
    dg.DagsterInstance.local_temp() as _instance,
    dg.build_sensor_context(instance=_instance) as _context,
):
    _names = ModelNames()
    _instance.get_runs_count(dg.RunsFilter(job_name=RETRAIN_JOB))
    _instance.fetch_observations(_names.asset(DRIFT_EVENT), limit=1)
    _instance.get_latest_materialization_event(_names.asset(BASELINE_DATASET))
    _context.log.debug("imported")

# What forked processes print without a file of their own is no test's output.
_nowhere = os.open(os.devnull, os.O_WRONLY)
for _stream in (1, 2):
    os.dup2(_nowhere, _stream)

# No process that is forked looks through all this for garbage.
gc.collect()
gc.freeze()
