"""A Dagster run of `retrain` in a process of its own, as a run worker is.

Run as `python -m transak_drift_tests.end_to_end.retrain_process RUN_ID DRIFT_EVENT WINDOW_END`.
"""

from __future__ import annotations

import sys
from typing import Any

import dagster as dg


def retrain_config(drift_event: str, window_end: str) -> dict[str, Any]:
    """Return the run configuration that the drift message sensor would give."""
    config = {"drift_event": drift_event, "window_end": window_end}
    return {
        "ops": {"train": {"config": config}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


if __name__ == "__main__":
    from transak_drift.definitions import defs

    run_id, event, end = sys.argv[1:]
    outcome = (
        defs()
        .resolve_job_def("retrain")
        .execute_in_process(
            run_config=retrain_config(event, end),
            instance=dg.DagsterInstance.get(),
            run_id=run_id,
            raise_on_error=False,
        )
    )
    sys.exit(0 if outcome.success else 1)
