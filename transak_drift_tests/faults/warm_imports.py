"""Imports what a tick needs, once for all processes that are forked from the one that did.

Dagster imports its storage, and the sensor its Pub/Sub client, only when they are used.
"""

from __future__ import annotations

import dagster as dg

from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_EVENT,
    RETRAIN_JOB,
    ModelNames,
)
from transak_drift.pubsub import trigger_queue
from transak_drift_tests.faults import sensor_process

NAMES = ModelNames()

__all__ = ["sensor_process", "trigger_queue"]

with (
    dg.DagsterInstance.local_temp() as _instance,
    dg.build_sensor_context(instance=_instance) as _context,
):
    _instance.get_runs_count(dg.RunsFilter(job_name=RETRAIN_JOB))
    _instance.fetch_observations(NAMES.asset(DRIFT_EVENT), limit=1)
    _instance.get_latest_materialization_event(NAMES.asset(BASELINE_DATASET))
    _context.log.debug("imported")
