"""Imports what Dagster's processes need, once for all that are forked from the one that did.

Much is imported only when it is used, hence the calls. Nothing may stay open: neither a thread nor
a gRPC channel survives a fork.
"""

from __future__ import annotations

import gc
from importlib import import_module

import dagster as dg

from transak_drift.defs.keys import BASELINE_DATASET, DRIFT_EVENT, RETRAIN_JOB, ModelNames

for _module in (
    "dagster._cli",
    "dagster._daemon.cli",
    "dagster._grpc.server",
    "dagster_postgres",
    "google.cloud.aiplatform_v1",
    "google.cloud.aiplatform_v1beta1",
    "pytest",
    "transak_drift.cli.main",
    "transak_drift.definitions",
    "transak_drift.defs.gcp_resources",
    "transak_drift.defs.local_resources",
    "transak_drift.local.platform",
    "transak_drift.local.trainer",
    "transak_drift.pubsub.trigger_queue",
    "transak_drift_tests.faults.faulty_pubsub_server",
    "transak_drift_tests.faults.sensor_process",
):
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

# No process that is forked looks through all this for garbage.
gc.collect()
gc.freeze()
